"""Connection: uvicorn's, with bounds on what a client may keep the server waiting for."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.engine.metrics import Metrics

_RETRY_SECONDS = 1

# Of one connection, in the system. Left to itself it grows to megabytes for a reader that lags
# behind, who would then read what was written long ago.
_SEND_BUFFER_BYTES = 1 << 17


@dataclass(frozen=True)
class Bounds:
    """What one client, and all of them, may take.

    Attributes:
        connections: at a time.
        head_bytes: of a request's first line and headers.
        receive_seconds: for a request to arrive whole.
        stall_seconds: for a reader whose buffers are full to go on reading.
    """

    connections: int
    head_bytes: int
    receive_seconds: float
    stall_seconds: float


def bounded(bounds: Bounds, metrics: Metrics) -> type[Connection]:
    """The class of connections within such bounds, for uvicorn."""
    return type("BoundedConnection", (Connection,), {"bounds": bounds, "metrics": metrics})


class Connection(HttpToolsProtocol):
    """Says 408 to a request that does not arrive, 431 to an endless one, 503 to one too many.

    A client that stops reading is cut off after a while: nothing more can be told to it.
    """

    bounds: ClassVar[Bounds]
    metrics: ClassVar[Metrics]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receiving: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # of the request that is arriving
        self._in_head = True
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if len(self.connections) > self.bounds.connections:
            detail = f"the server has its most connections, {self.bounds.connections}"
            self._refuse(503, "too_many_connections", detail)
        else:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._receiving, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._receiving is None and self._between_requests():
            self._expect_request()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.bounds.head_bytes:
                detail = f"URL and headers are larger than {self.bounds.head_bytes} bytes"
                self._refuse(431, "head_too_large", detail)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.bounds.stall_seconds, self._cut_off)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed", "this is not a valid HTTP request")

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_request(self) -> None:
        self._receiving = self.loop.call_later(self.bounds.receive_seconds, self._give_up)

    def _cut_off(self) -> None:
        self.metrics.refusals.labels("stalled").inc()
        self.transport.abort()

    def _give_up(self) -> None:
        answered = not self._between_requests() and self.cycle.response_started
        if answered or (self._head_bytes == 0 and self._in_head):
            self.transport.close()  # there is nothing to answer
        else:
            detail = f"the request did not arrive within {self.bounds.receive_seconds:g} s"
            self._refuse(408, "request_timeout", detail)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        if self.transport.is_closing():
            return
        self.metrics.refusals.labels(code).inc()
        body = json.dumps({"detail": detail, "code": code}).encode("ascii")
        retry = f"Retry-After: {_RETRY_SECONDS}\r\n" if status == 503 else ""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
