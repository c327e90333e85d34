"""Limits of connections: their number, their times, and the sizes of heads and trailers."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.server.refusal import RefusedError


@dataclass(frozen=True)
class HeadLimits:
    """Limits on one request, apart from its body.

    Attributes:
        url_bytes: maximum size of the request target, which may contain a prime. httptools rejects
            longer ones.
        path_bytes: maximum size of the path in it. Percent-decoding a longer path would delay other
            connections.
        header_bytes: maximum size of all headers and trailers together.
        headers: maximum number of headers and trailers together.
    """

    url_bytes: int = (1 << 16) - 1
    path_bytes: int = 1 << 13
    header_bytes: int = 1 << 16
    headers: int = 100


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one connection and of all connections together.

    Attributes:
        connections: maximum number of open connections.
        receive_seconds: time for a whole request to arrive.
        stall_seconds: time for a client whose buffers are full to read again.
        head: limits on the URL, headers and trailers of one request.
    """

    connections: int
    receive_seconds: float
    stall_seconds: float
    head: HeadLimits = field(default_factory=HeadLimits)

    def check_connections(self, connections: int) -> None:
        """Raise RefusedError if there are too many connections."""
        if connections > self.connections:
            detail = f"the server has reached its limit of {self.connections} connections"
            raise RefusedError(503, "too_many_connections", detail)


class HeadSize:
    """Counts the parts of one request while they arrive.

    Every method raises `RefusedError` when a limit is exceeded. Headers and trailers are counted
    together, so that a chunked body does not double the limit.
    """

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._header_bytes = self._headers = self._silent_bytes = 0

    def check_url(self, url: bytes | bytearray) -> None:
        if len(url) > self._limits.url_bytes:
            limit = f"{self._limits.url_bytes} bytes"
            raise _too_large(f"the URL is longer than {limit}; use POST for long primes")

    def check_path(self, path: bytes) -> None:
        if len(path) > self._limits.path_bytes:
            raise _too_large(f"the path of the URL is longer than {self._limits.path_bytes} bytes")

    def add_header(self, name: bytes, value: bytes) -> None:
        self._silent_bytes = 0
        self._headers += 1
        self._header_bytes += len(name) + len(value)
        if self._headers > self._limits.headers:
            raise _too_large(f"the request has more than {self._limits.headers} headers")
        self._check_bytes()

    def add_silent(self, size: int, reported: bool) -> None:
        """Count bytes of an unfinished header, which the parser has not reported yet.

        Args:
            size: size of a piece that was passed to the parser, in bytes.
            reported: whether the parser made a callback while it read the piece.
        """
        self._silent_bytes = 0 if reported else self._silent_bytes + size
        self._check_bytes()

    def _check_bytes(self) -> None:
        if self._header_bytes + self._silent_bytes > self._limits.header_bytes:
            raise _too_large(f"the headers are larger than {self._limits.header_bytes} bytes")


def _too_large(detail: str) -> RefusedError:
    return RefusedError(431, "head_too_large", detail)
