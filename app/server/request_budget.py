"""RequestBudget: limits the sizes of the URL, the headers and the trailers of one request."""

from __future__ import annotations

from dataclasses import dataclass

from app.server.refusal import RefusedError, malformed

_PATH_BYTES = 8192  # percent-decoding a longer path would delay other connections
_CONTENT_LENGTH_DIGITS = 20  # of the largest 64-bit number


@dataclass(frozen=True)
class HeadLimits:
    """Limits on one request, apart from its body.

    Attributes:
        url_bytes: maximum size of the request target, which may contain a prime. httptools rejects
            longer ones.
        header_bytes: maximum size of all headers and trailers together.
        headers: maximum number of headers and trailers together.
    """

    url_bytes: int = (1 << 16) - 1
    header_bytes: int = 1 << 16
    headers: int = 100


class RequestBudget:
    """Counts the parts of one request while they arrive.

    Every method raises `RefusedError` when a limit is exceeded. Headers and trailers are counted
    together, so that a chunked body does not double the limit.
    """

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._url_bytes = self._header_bytes = self._headers = self._silent_bytes = 0

    def add_url(self, part: bytes) -> None:
        self._url_bytes += len(part)
        if self._url_bytes > self._limits.url_bytes:
            raise _too_large(
                f"the URL is longer than {self._limits.url_bytes} bytes; use POST for long primes"
            )

    def add_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._header_bytes += len(name) + len(value)
        if self._headers > self._limits.headers:
            raise _too_large(f"the request has more than {self._limits.headers} headers")
        if self._header_bytes > self._limits.header_bytes:
            raise self._headers_too_large()
        if name.lower() == b"content-length" and len(value.strip()) > _CONTENT_LENGTH_DIGITS:
            detail = f"Content-Length has more than {_CONTENT_LENGTH_DIGITS} digits"
            raise malformed(detail)

    def add_silent(self, size: int, reported: bool) -> None:
        """Count bytes of an unfinished header, which the parser has not reported yet.

        Args:
            size: size of a piece that was passed to the parser, in bytes.
            reported: whether the parser made a callback while it read the piece.
        """
        self._silent_bytes = 0 if reported else self._silent_bytes + size
        if self._header_bytes + self._silent_bytes > self._limits.header_bytes:
            raise self._headers_too_large()

    def check_path(self, url: bytes) -> None:
        query = url.find(b"?")
        if (query if query >= 0 else len(url)) > _PATH_BYTES:
            raise _too_large(f"the path of the URL is longer than {_PATH_BYTES} bytes")

    def _headers_too_large(self) -> RefusedError:
        return _too_large(f"the headers are larger than {self._limits.header_bytes} bytes")


def _too_large(detail: str) -> RefusedError:
    return RefusedError(431, "head_too_large", detail)
