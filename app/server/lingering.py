"""LingeringTransport: closes a connection so that the last response arrives."""

from __future__ import annotations

import asyncio
from typing import Any

_LINGER_SECONDS = 1
_LINGER_BYTES = 1 << 20


class LingeringTransport(asyncio.Transport):
    """A transport that keeps reading for a short time after `close`, until the client closes too.

    If a server closes a connection while the client is still sending, the operating system resets
    the connection, and the client loses the part of the response that it has not read (RFC 9112,
    section 9.6).

    Args:
        transport: the transport of the connection.
        loop: the event loop of the transport.
        stall_seconds: time for the client to read the last bytes before the connection is aborted.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, stall_seconds: float
    ) -> None:
        super().__init__()
        self._transport, self._loop, self._stall_seconds = transport, loop, stall_seconds
        self._closing: asyncio.TimerHandle | None = None
        self._paused = False
        self._dropped = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing is None:
            self._transport.write(data)

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        self._closing = self._loop.call_later(_LINGER_SECONDS, self.close_at_once)
        self._resume()
        self._transport.write_eof()

    def close_at_once(self) -> None:
        """Close without reading further. Data that was written is still sent."""
        self.release()
        self._closing = self._loop.call_later(self._stall_seconds, self._transport.abort)
        self._transport.close()

    def drop(self, data: bytes) -> None:
        """Count and discard data received after `close`. Close at once if it is too much."""
        self._dropped += len(data)
        if self._dropped > _LINGER_BYTES and not self._transport.is_closing():
            self.close_at_once()

    def release(self) -> None:
        """Cancel the timers. Call this when the connection is lost."""
        if self._closing is not None:
            self._closing.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._closing is not None or self._transport.is_closing()

    def pause_reading(self) -> None:
        if not (self._paused or self.is_closing()):
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closing():
            self._resume()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
