"""RequestParser: httptools' parser with limits. It ignores the header Upgrade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from app.server.refusal import RefusedError, malformed

_LENGTH = b"content-length"
_ENCODING = b"transfer-encoding"
_FRAMING = (_LENGTH, _ENCODING)  # the headers that determine the end of a body
_HEAD_END = b"\r\n\r\n"
_LENGTH_DIGITS = 20  # of the largest 64-bit number


@dataclass(frozen=True)
class HeadLimits:
    """Limits on one request, apart from its body. Headers and trailers are counted together.

    Attributes:
        url_bytes: maximum size of the request target, which may contain a prime. httptools rejects
            longer ones.
        path_bytes: maximum size of the path in it. Percent-decoding a longer path would delay other
            connections.
        parameters: maximum number of parameters in its query. A logit bias for each of 1,000
            characters is the most that a request needs; more would only take time to parse.
        header_bytes: maximum size of all headers and trailers.
        headers: maximum number of headers and trailers.
    """

    url_bytes: int = (1 << 16) - 1
    path_bytes: int = 1 << 13
    parameters: int = 1100
    header_bytes: int = 1 << 16
    headers: int = 100


class RequestHandler(Protocol):
    """What a parser calls, in this order, while it parses a request.

    `begin_body` gets the request line and the headers as a part of an ASGI scope, and whether the
    client wants the connection to stay open.
    """

    def begin_head(self) -> None: ...
    def begin_body(self, head: Scope, keep_alive: bool) -> None: ...
    def add_body(self, data: bytes) -> None: ...
    def end_body(self) -> None: ...


class RequestParser:
    """Parses the requests of one connection, and reports them to a handler.

    It counts the data of a request that it and the handler keep while the request arrives. Trailers
    are counted and dropped.

    A request may ask for another protocol (`Upgrade`). RFC 9110, section 7.8, allows a server to
    ignore that, but httptools always stops after the head and leaves the body to the other
    protocol. So a new parser reads the body, after a head with only the headers in `_FRAMING`.
    """

    def __init__(self, handler: RequestHandler, limits: HeadLimits | None = None) -> None:
        self._handler, self._limits = handler, limits or HeadLimits()
        self._parser = self._new_parser()
        self._header_count = self._header_bytes = 0
        self._silent_bytes = 0  # of an unfinished header, which httptools has not reported yet
        self._url = bytearray()
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._replaying = False  # whether a new parser reads a head that was already reported
        self._body_left = 0  # bytes of the body that Content-Length still announces

    def take_piece(self, unparsed: bytearray, limit: int) -> bytes:
        """Take the data up to the end of a head or a body from the unparsed data.

        Empty lines end heads and chunked bodies. A piece does not end in a part of an empty line,
        so that it does not contain parts of two requests. It is empty if more data is needed.

        Args:
            unparsed: data that has arrived. The piece is removed from it.
            limit: maximum size of the piece, in bytes.
        """
        if self._body_left > 0:
            size = min(self._body_left, limit)
        elif (end := unparsed.find(_HEAD_END, 0, limit)) >= 0:
            size = end + len(_HEAD_END)
        else:
            size = len(unparsed[:limit].rstrip(b"\r\n"))
        piece = bytes(unparsed[:size])
        del unparsed[:size]
        return piece

    def feed_data(self, piece: bytes) -> None:
        """Parse a piece of data that has arrived.

        Raises:
            RefusedError: if it is not HTTP, or exceeds a limit. The parser cannot be used
                afterwards.
        """
        self._silent_bytes += len(piece)  # the callbacks set it to 0
        rest = piece
        try:
            while (offset := self._feed(rest)) is not None:
                self._begin_body()
                rest = rest[offset:]
            self._check_header_bytes()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, RefusedError):  # raised by a callback
                raise error.__context__ from None
            raise malformed("this is not a valid HTTP request") from error

    def close(self) -> None:
        """Release the handler and httptools' parser, which refer to this object."""
        del self._parser, self._handler

    def on_message_begin(self) -> None:
        self._silent_bytes = 0
        if not self._replaying:
            self._header_count = self._header_bytes = 0
            self._url.clear()
            self._headers = []
            self._in_head = True
            self._handler.begin_head()

    def on_url(self, url: bytes) -> None:
        self._silent_bytes = 0
        if not self._replaying:
            self._url += url
            if len(self._url) > (limit := self._limits.url_bytes):
                raise _too_large(f"the URL is longer than {limit} bytes; use POST for long primes")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent_bytes = 0
        if not self._replaying:
            self._count_header(len(name) + len(value))
            if self._in_head:
                self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._silent_bytes = 0
        if not self._replaying:
            self._in_head = False
            self._check_encoding()
            self._body_left = self._content_length()
            self._handler.begin_body(self._head(), self._parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._body_left -= len(body)
        self._handler.add_body(body)

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        if not self._parser.should_upgrade():  # else the body is still to come
            self._body_left = 0
            self._handler.end_body()

    def _count_header(self, size: int) -> None:
        self._header_count += 1
        self._header_bytes += size
        if self._header_count > self._limits.headers:
            raise _too_large(f"the request has more than {self._limits.headers} headers")
        self._check_header_bytes()

    def _check_header_bytes(self) -> None:
        if self._header_bytes + self._silent_bytes > self._limits.header_bytes:
            raise _too_large(f"the headers are larger than {self._limits.header_bytes} bytes")

    def _check_encoding(self) -> None:
        for name, value in self._headers:
            if name == _ENCODING and value.lower() != b"chunked":
                raise malformed("Transfer-Encoding must be chunked: bodies are not decompressed")

    def _content_length(self) -> int:
        length = next((value for name, value in self._headers if name == _LENGTH), b"0")
        if len(length) > _LENGTH_DIGITS:
            raise malformed(f"Content-Length has more than {_LENGTH_DIGITS} digits")
        return int(length)

    def _head(self) -> Scope:
        method = self._parser.get_method().decode()
        if method == "CONNECT":
            raise malformed("CONNECT is not supported: this server is not a proxy")
        url = httptools.parse_url(bytes(self._url))
        if url.path is None:
            raise malformed("the URL has no path")
        if len(url.path) > self._limits.path_bytes:
            raise _too_large(f"the path of the URL is longer than {self._limits.path_bytes} bytes")
        query = url.query or b""
        if query.count(b"&") >= self._limits.parameters:
            raise _too_large(f"the URL has more than {self._limits.parameters} parameters")
        path = url.path.decode("ascii")
        return {
            "method": method,
            "http_version": self._parser.get_http_version(),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": query,
            "headers": self._headers,
        }

    def _feed(self, data: bytes) -> int | None:
        """Parse. Return the offset of the body if the parser left it to another protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offset: int = upgrade.args[0]
            return offset
        return None

    def _begin_body(self) -> None:
        version = self._parser.get_http_version()
        lines = [b"%b: %b\r\n" % header for header in self._headers if header[0] in _FRAMING]
        self._parser = self._new_parser()
        self._replaying = True
        self._parser.feed_data(b"POST / HTTP/%b\r\n%b\r\n" % (version.encode(), b"".join(lines)))
        self._replaying = False

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Data after a request that closes the connection is ignored. It is not an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser


def _too_large(detail: str) -> RefusedError:
    return RefusedError(431, "head_too_large", detail)
