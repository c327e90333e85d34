"""RequestParser: httptools' parser with limits. It ignores the header Upgrade."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

import httptools

from app.server.refusal import RefusedError, malformed
from app.server.request_budget import HeadLimits, RequestBudget

_LENGTH = b"content-length"
_FRAMING = (_LENGTH, b"transfer-encoding")  # the headers that determine the end of a body


class Phase(Enum):
    """The part of a request that arrives next."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()  # and trailers


class RequestHandler(Protocol):
    """The callbacks of httptools while it parses a request."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class RequestParser:
    """Parses the requests of one connection, and reports them to a handler.

    It counts the data of a request that it and the handler keep while the request arrives. Trailers
    are counted and dropped, because the handler would treat them as headers.

    A request may ask for another protocol (`Upgrade`). RFC 9110, section 7.8, allows a server to
    ignore that, but httptools always stops after the head and leaves the body to the other
    protocol. So a new parser reads the body, after a head with only the headers in `_FRAMING`.
    """

    def __init__(self, handler: RequestHandler, limits: HeadLimits) -> None:
        self._handler, self._limits = handler, limits
        self._parser = self._new_parser()
        self._budget = RequestBudget(limits)
        self._url = bytearray()
        self._framing: list[tuple[bytes, bytes]] = []
        self._replaying = False  # whether a new parser reads a head that was already reported
        self._reported = False  # whether httptools made a callback while it read this piece
        self.phase = Phase.BETWEEN
        self.body_left = 0  # bytes that Content-Length still announces

    def feed_data(self, piece: bytes) -> None:
        """Parse a piece of data that has arrived.

        Raises:
            RefusedError: if it is not HTTP, or exceeds a limit. The parser cannot be used
                afterwards.
        """
        self._reported = False
        rest = piece
        try:
            while (offset := self._feed(rest)) is not None:
                self._begin_body()
                rest = rest[offset:]
            self._budget.add_silent(len(piece), self._reported)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, RefusedError):  # raised by a callback
                raise error.__context__ from None
            raise malformed("this is not a valid HTTP request") from error

    def close(self) -> None:
        """Release the parser, which refers to this object."""
        del self._parser

    def get_method(self) -> bytes:
        method: bytes = self._parser.get_method()
        return method

    def get_http_version(self) -> str:
        return self._parser.get_http_version()

    def should_keep_alive(self) -> bool:
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        return False

    def on_message_begin(self) -> None:
        self._reported = True
        if not self._replaying:
            self.phase = Phase.HEAD
            self._budget = RequestBudget(self._limits)
            self._url.clear()
            self._framing.clear()
            self._handler.on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._reported = True
        if not self._replaying:
            self._budget.add_url(url)
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reported = True
        if self._replaying:
            return
        self._budget.add_header(name, value)
        if self.phase is Phase.HEAD:
            if name.lower() in _FRAMING:
                self._framing.append((name, value))
            self._handler.on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reported = True
        if self._replaying:
            return
        if self.get_method() == b"CONNECT":
            raise malformed("CONNECT is not supported: this server is not a proxy")
        self._budget.check_path(bytes(self._url))
        self._handler.on_url(bytes(self._url))
        self._handler.on_headers_complete()
        self.phase = Phase.BODY
        self.body_left = next((int(v) for n, v in self._framing if n.lower() == _LENGTH), 0)

    def on_body(self, body: bytes) -> None:
        self._reported = True
        self.body_left -= len(body)
        self._handler.on_body(body)

    def on_message_complete(self) -> None:
        self._reported = True
        if not self._parser.should_upgrade():  # else the body is still to come
            self.phase = Phase.BETWEEN
            self.body_left = 0
            self._handler.on_message_complete()

    def _feed(self, data: bytes) -> int | None:
        """Parse. Return the offset of the body if the parser left it to another protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offset: int = upgrade.args[0]
            return offset
        return None

    def _begin_body(self) -> None:
        version = self.get_http_version()
        lines = [b"%b: %b\r\n" % header for header in self._framing]
        self._parser = self._new_parser()
        self._replaying = True
        self._parser.feed_data(b"POST / HTTP/%b\r\n%b\r\n" % (version.encode(), b"".join(lines)))
        self._replaying = False

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Data after a request that closes the connection is ignored. It is not an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser
