"""Exchange: one request and its response, between a connection and the ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from itertools import chain
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

_UNREAD_BODY_BYTES = 1 << 16  # received and not yet read by the application

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # in headers: they could add lines

logger = logging.getLogger("charstream")


class Channel(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None: ...
    def parse_more(self) -> None: ...
    def end_response(self) -> None: ...
    def break_off(self) -> None: ...


class Exchange:
    """Passes one request to an ASGI application, and its response to the connection.

    Clients of HTTP/1.0 do not support chunks. Their responses end when the connection closes.

    Attributes:
        keep_alive: whether the connection stays open after the response.
        started: whether the response has begun.
        complete: whether the response has ended.
    """

    def __init__(
        self,
        channel: Channel,
        room: asyncio.Event,  # whether the connection's buffers have room
        scope: Scope,
        keep_alive: bool,
        default_headers: Iterable[tuple[bytes, bytes]],
    ) -> None:
        modern = scope["http_version"] == "1.1"
        self._channel, self._room, self._scope = channel, room, scope
        self._default_headers = default_headers
        self._has_body = scope["method"] != "HEAD"  # the response
        self._may_chunk, self._chunked = modern, False
        self._unsent = b""  # a head that is sent together with the beginning of the body
        self._body_left: int | None = None  # bytes that Content-Length still announces
        self._awaits_continue = modern and _expects_continue(scope)
        self._body = bytearray()  # of the request
        self._more_body = True
        self._news = asyncio.Event()  # there is something to receive
        self._disconnected = False
        self.keep_alive = modern and keep_alive
        self.started = self.complete = False

    def start(self, app: ASGIApp) -> asyncio.Task[None]:
        """Call the application in a task. If it fails, the connection breaks the response off."""
        self._task = asyncio.get_running_loop().create_task(self._run(app))
        return self._task

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:  # whatever it is, the client gets an end, and others are served on
            logger.exception("exception in the application")
        if not self._is_over():
            self._channel.break_off()

    def add_body(self, data: bytes) -> None:
        """Keep a part of the request's body for the application, unless it has responded."""
        if not self.complete:
            self._body += data
            self._news.set()

    def end_body(self) -> None:
        self._more_body = False
        self._news.set()

    @property
    def is_full(self) -> bool:
        """Whether the application must read before more of the body is added."""
        return len(self._body) > _UNREAD_BODY_BYTES

    def disconnect(self) -> None:
        """Cancel the application unless it has responded, and send nothing more."""
        self._disconnected = True
        self._awaits_continue = False
        self._news.set()
        if not self.complete:
            self._task.cancel()

    async def receive(self) -> Message:
        """Return the next ASGI message of the request."""
        if self._awaits_continue:
            self._awaits_continue = False
            self._channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._is_over():
            await self._news.wait()
            self._news.clear()
        if self._is_over():
            return {"type": "http.disconnect"}
        body = bytes(self._body)
        self._body.clear()
        self._channel.parse_more()
        return {"type": "http.request", "body": body, "more_body": self._more_body}

    async def send(self, message: Message) -> None:
        """Send an ASGI message of the response.

        Raises:
            RuntimeError: if the response is not valid.
        """
        if not self._disconnected:
            await self._room.wait()
        if self._disconnected:
            return
        if not self.started:
            self._start(message["status"], message.get("headers", ()))
        elif not self.complete:
            self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError("the response is already complete")

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if _FORBIDDEN.search(b"".join(chain.from_iterable(headers))):
            raise RuntimeError("a header of the response contains a control character")
        self._has_body = self._has_body and status not in (204, 304)
        # A client that waits for 100 now sends the body or its next request, and the server cannot
        # tell which (RFC 9110, section 10.1.1).
        self.keep_alive = self.keep_alive and not (self._awaits_continue and self._more_body)
        self._awaits_continue = False
        lines = [_STATUS_LINES[status]]
        for name, value in chain(self._default_headers, headers):
            lowered = name.lower()
            if lowered == b"connection":  # the only value that is used is "close"
                self.keep_alive = False
                continue
            if lowered == b"content-length" and self._has_body:
                self._body_left = int(value)
            lines += name, b": ", value, b"\r\n"
        self.started = True
        self._unsent = b"".join([*lines, *self._framing(), b"\r\n"])
        if self._chunked:  # the first character may be late
            self._flush()

    def _framing(self) -> list[bytes]:
        lines = [] if self.keep_alive else [b"connection: close\r\n"]
        if self._may_chunk and self._has_body and self._body_left is None:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        return lines

    def _send_body(self, body: bytes, more: bool) -> None:
        if self._has_body:
            self._count(len(body), more)
            if self._chunked:
                body = _chunk(body, more)
            self._unsent += body
        self._flush()
        if not more:
            self.complete = True
            self._body.clear()
            self._news.set()
            self._channel.end_response()

    def _flush(self) -> None:
        self._channel.write(self._unsent)
        self._unsent = b""

    def _count(self, size: int, more: bool) -> None:
        if self._body_left is not None:
            self._body_left -= size
            if self._body_left < 0 or (self._body_left and not more):
                raise RuntimeError("the response does not have the size in its Content-Length")

    def _is_over(self) -> bool:
        return self._disconnected or self.complete


def connection_scope(transport: asyncio.Transport) -> Scope:
    """Return the part of the ASGI scope that all requests of a connection share."""
    client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "server": server and server[:2],  # the addresses of IPv6 have four parts
        "client": client and client[:2],
        "scheme": "http",
        "root_path": "",
    }


def _chunk(body: bytes, more: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk if more else chunk + b"0\r\n\r\n"


def _expects_continue(scope: Scope) -> bool:
    return any(n == b"expect" and v.lower() == b"100-continue" for n, v in scope["headers"])
