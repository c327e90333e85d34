"""Server: uvicorn with graceful shutdown at SIGTERM and reload at SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType

import uvicorn

from app.errors import SettingsError
from app.main import create_app
from app.model_manager import ModelManager
from app.server import log_format
from app.server.connection import Connection, bounded
from app.settings import PREFIX, Settings
from model.errors import CharstreamError

_REFUSING_SECONDS = 0.1  # before the streams are cut: those who reconnect must not get a 503
_LAST_FRAMES_SECONDS = 1.5  # after the drain time, for the last frames to be sent
_POLL_SECONDS = 0.02  # between two checks whether all generations have ended
_GIVE_UP_SECONDS = 2  # after the drain time; then the remaining requests are cancelled

# Where a browser on the same machine finds "all addresses".
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none

logger = logging.getLogger("charstream")


class Server(uvicorn.Server):
    """Reloads the models at SIGHUP and drains streams at SIGTERM.

    After the first SIGTERM or SIGINT, running streams may finish, new requests get 503, and the
    exit status is 0. The second signal ends all streams at once.

    The server stops listening before it cuts the streams that are left. A client that reconnects is
    then refused by the system, and tries again until the next process listens.
    """

    def __init__(self, config: uvicorn.Config, manager: ModelManager, drain_seconds: float) -> None:
        super().__init__(config)
        self._manager, self._drain_seconds = manager, drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the block, and ignore them afterwards.

        uvicorn would restore the handlers of the system. A second SIGTERM, or a SIGHUP, could then
        end the process with another exit status than 0.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
        for number in (signal.SIGINT, signal.SIGTERM, *_HANGUP):
            signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        drain_seconds = 0 if self.should_exit else self._drain_seconds
        self.should_exit = True
        if self._loop is None:
            self._manager.drain(drain_seconds)
        else:
            self._loop.call_soon_threadsafe(self._drain, drain_seconds)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for number in _HANGUP:
            signal.signal(number, self._on_hangup)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        if self.started:
            host = _LOOPBACK.get(self.config.host, self.config.host)
            host = f"[{host}]" if ":" in host else host
            logger.info("open http://%s:%d/ for the playground", host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info(
            "shutting down; running streams have %g s to finish; a second Ctrl-C or SIGTERM ends "
            "them now",
            self._drain_seconds,
        )
        while not self._manager.idle:  # uvicorn would first close connections that are idle
            await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)

    def _drain(self, drain_seconds: float) -> None:
        assert self._loop is not None
        if drain_seconds > _REFUSING_SECONDS:
            self._loop.call_later(drain_seconds - _REFUSING_SECONDS, self._stop_listening)
        else:
            self._stop_listening()
        self._loop.call_later(drain_seconds + _LAST_FRAMES_SECONDS, self._cut)
        self._manager.drain(drain_seconds)

    def _stop_listening(self) -> None:
        """Refuse connections, and close each one when it has no request to answer."""
        if self.started:
            for server in self.servers:
                server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def _cut(self) -> None:
        """Abort the remaining connections: slow readers, and requests that are still arriving."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.abort()

    def _on_hangup(self, sig: int, frame: FrameType | None) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._manager.reload_soon)


def serve() -> None:
    """Serve until a signal arrives. If startup fails, print one line and exit with status 1."""
    try:
        settings = Settings.from_environment()
        log_format.set_up(settings.log_format)
        _check_address(settings.host, settings.port)
        app = create_app(settings)
    except CharstreamError as error:
        sys.exit(f"charstream: {error}")
    manager: ModelManager = app.state.model_manager
    for name in Settings.unknown_variables():
        logger.warning("%s is not a setting of this version and has no effect", name)
    for service in manager.models.services:
        logger.info("loaded %s", service)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded(settings, app.state.metrics),
        ws="none",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=round(settings.drain_seconds) + _GIVE_UP_SECONDS,
    )
    # A search for garbage in the objects of all imported modules would stop everything for 30 ms.
    gc.freeze()
    # Requests make few cycles. With Python's thresholds, searches take a seventh of the time of
    # thousands of readers.
    gc.set_threshold(20_000, 20, 50)
    # A request passes the interpreter's lock between threads about 20 times. While a third thread
    # encodes a large result, it would wait 5 ms for it each time.
    sys.setswitchinterval(0.001)
    Server(config, manager, settings.drain_seconds).run()
    if manager.loads:
        # The interpreter would end this thread when it returns from C++ code, and so abort the
        # process. The thread may also read a file that never comes.
        logging.shutdown()
        os._exit(0)


def _check_address(host: str, port: int) -> None:
    """Check that the port is free before loading the model.

    Raises:
        SettingsError: if the server cannot listen on the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name such as "a..b"
        reason = getattr(error, "strerror", None) or str(error)
        where = f"{PREFIX}HOST, {PREFIX}PORT: cannot listen on {host}:{port}"
        raise SettingsError(f"{where}: {reason}; choose another port or host") from error
