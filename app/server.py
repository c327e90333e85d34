"""Server: uvicorn, told what to do at signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from app import log_format
from app.connection import Connection, ConnectionLimits, bounded
from app.errors import ReloadError
from app.main import create_app
from app.reloader import Reloader
from app.settings import PREFIX, Settings, SettingsError
from model.errors import CharstreamError

_LAST_FRAMES_SECONDS = 1.5  # after the drain time: for the last frames to leave
_LOOK_SECONDS = 0.02  # between two looks at whether all texts have ended
_GIVE_UP_SECONDS = 2  # after the drain time: whatever is left is cancelled

logger = logging.getLogger("charstream")


class Server(uvicorn.Server):
    """Uvicorn that reloads at SIGHUP.

    Told to stop, it lets running streams end, answers that it takes no more, and then exits with
    0; told a second time, it ends them at once.
    """

    def __init__(self, config: uvicorn.Config, reloader: Reloader, drain_seconds: float) -> None:
        super().__init__(config)
        self._reloader, self._drain_seconds = reloader, drain_seconds
        self._reloading: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._reloader.drain(0 if self.should_exit else self._drain_seconds)
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, *self._cut_after(0))
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cut = asyncio.get_running_loop().call_later(*self._cut_after(self._drain_seconds))
        logger.info("taking no more texts; those left have %g s", self._drain_seconds)
        while not self._reloader.idle:  # uvicorn's own shutdown begins with no connections at all
            await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)
        cut.cancel()

    def _cut_after(self, drain_seconds: float) -> tuple[float, Callable[[], None]]:
        return drain_seconds + _LAST_FRAMES_SECONDS, self._cut

    def _cut(self) -> None:
        """Ends connections to those who do not read, or have not sent all of their request."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.transport.abort()

    def _on_hangup(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self) -> None:
        with contextlib.suppress(ReloadError):  # logged where it was raised
            await self._reloader.reload()


def serve() -> None:
    """Serves until told to stop; a start that cannot be ends in one line and status 1."""
    try:
        settings = Settings.from_environment()
        log_format.set_up(settings.log_format)
        _check_address(settings.host, settings.port)
        app = create_app(settings)
    except CharstreamError as error:
        sys.exit(f"charstream: {error}")
    reloader: Reloader = app.state.reloader
    for name in Settings.unknown_variables():
        logger.warning("%s is not a setting of this version and has no effect", name)
    logger.info("loaded %s", reloader.service)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded(_limits(settings), app.state.metrics),
        ws="none",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=round(settings.drain_seconds) + _GIVE_UP_SECONDS,
    )
    Server(config, reloader, settings.drain_seconds).run()


def _check_address(host: str, port: int) -> None:
    """Says before a model is loaded that there will be nothing to listen on.

    Raises:
        SettingsError: naming the variables.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{PREFIX}HOST, {PREFIX}PORT: cannot listen on {host}:{port}: {reason}"
        raise SettingsError(message) from error


def _limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=settings.max_connections,
        receive_seconds=settings.receive_seconds,
        stall_seconds=settings.stall_seconds,
    )
