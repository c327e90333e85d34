"""StallGuard: responses wait for a slow reader, and a stalled reader is disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.server.timeouts import Timeout


class StallGuard:
    """Knows whether the client of a connection reads what the server sends.

    Args:
        loop: the event loop of the connection.
        seconds: time for a client whose buffers are full to read again.
        stalled: called when the client has not read for so long.

    Attributes:
        paused: whether the buffers are full, so that responses must wait.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, stalled: Callable[[], None]
    ) -> None:
        self._seconds = seconds
        self._timeout = Timeout(loop, stalled)
        self._room = asyncio.Event()
        self.paused = False

    def pause(self) -> None:
        self.paused = True
        self._room.clear()
        self._timeout.set(self._seconds)

    def resume(self) -> None:
        self.paused = False
        self._room.set()
        self._timeout.clear()

    async def wait(self) -> None:
        """Wait until the client reads or the connection is lost."""
        await self._room.wait()

    def close(self) -> None:
        """Let waiting responses go on. Call this when the connection is lost."""
        self.resume()
        self._timeout.close()
