"""Connection: uvicorn's HTTP connection, with limits on the resources that a client can use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.disconnect import CLOSE_EXTENSION
from app.engine.metrics import Metrics
from app.server.close_delimited import close_delimited
from app.server.expect import close_if_unread
from app.server.forwarded_for import keep_addresses
from app.server.lingering import LingeringTransport
from app.server.refusal import RefusedError
from app.server.request_budget import HeadLimits
from app.server.request_parser import Phase, RequestParser

# Buffers of one connection in the operating system. Without a limit, the send buffer grows to
# megabytes for a slow reader, who then reads old text, and the receive buffer grows to megabytes
# for a client that sends faster than the server parses.
_SEND_BUFFER_BYTES = 1 << 17
_RECEIVE_BUFFER_BYTES = 1 << 16

_TURN_BYTES = 1 << 14  # parsed in one turn of the event loop
_PIECE_COST_BYTES = 64  # fixed cost of parsing a piece, counted as bytes
_UNPARSED_BYTES = 1 << 16  # received and not yet parsed; beyond this, reading pauses

_HEAD_END = b"\r\n\r\n"


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


class _ParserFlow(FlowControl):
    """Flow control that pauses the parser; the connection itself decides when to read."""

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def pause_reading(self) -> None:
        self.read_paused = True

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._resumed()

    def close(self) -> None:
        self._resumed = lambda: None  # breaks a reference cycle, so the connection is freed at once


def bounded(limits: ConnectionLimits, metrics: Metrics) -> type[Connection]:
    """Return a Connection class with these limits, to pass to uvicorn."""
    return type("BoundedConnection", (Connection,), {"limits": limits, "metrics": metrics})


class Connection(HttpToolsProtocol):
    """An HTTP/1.1 connection that buffers a bounded amount of data.

    It parses one request at a time. Data that a client sends after a request stays unparsed until
    the response is complete. When `_UNPARSED_BYTES` are waiting, the connection stops reading.

    The connection sends an error response and closes if a request does not arrive in time (408), if
    its head is too large (431), if it is not valid HTTP (400), or if the server has too many
    connections (503). If a client stops reading for `stall_seconds`, the connection is aborted
    without a response, because nothing can be sent.
    """

    limits: ClassVar[ConnectionLimits]
    metrics: ClassVar[Metrics]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = LingeringTransport(transport, self.loop, self.limits.stall_seconds)
        super().connection_made(self._lingering)
        self.flow = self._parser_flow = _ParserFlow(transport, self._parse_soon)
        self._requests = RequestParser(self, self.limits.head)
        self.parser = self._requests  # type: ignore[assignment]
        self._receiving: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None  # the next call of _parse
        self._unparsed = bytearray()
        self._responding: RequestResponseCycle | None = None  # the one that began last
        self._refusal: RefusedError | None = None  # nothing is parsed after it
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if len(self.connections) > self.limits.connections:
            detail = f"the server has reached its limit of {self.limits.connections} connections"
            self._refuse(RefusedError(503, "too_many_connections", detail))
        else:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._receiving, self._stalled, self._turn):
            if timer is not None:
                timer.cancel()
        self._lingering.release()
        self._parser_flow.close()
        self._requests.close()
        if self._responding is not None:
            _disconnect(self._responding)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            self._lingering.drop(data)
        elif self._refusal is None:
            self._unparsed += data
            if self._turn is None:
                self._parse()

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self.scope["extensions"] = {
            CLOSE_EXTENSION: self.transport.close,  # type: ignore[dict-item]
        }

    def on_headers_complete(self) -> None:
        keep_addresses(self.headers)
        super().on_headers_complete()
        if self.scope["http_version"] != "1.1":
            self.cycle.keep_alive = self.cycle.waiting_for_100_continue = False

    def on_message_complete(self) -> None:
        self._stop_expecting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is None:
            self._parse_soon()
        elif not self._response_is_pending():
            self._send(self._refusal)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.stall_seconds, self._cut_off)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._responding = cycle
        if cycle.scope["http_version"] != "1.1":
            app = close_delimited(app, cycle)
        elif cycle.waiting_for_100_continue:
            app = close_if_unread(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _parse_soon(self) -> None:
        if self._turn is None:
            self._turn = self.loop.call_soon(self._parse)

    def _parse(self) -> None:
        """Parse for one turn of the event loop, or until a response must be sent first."""
        self._turn = None
        left = _TURN_BYTES
        while left > 0 and self._may_parse():
            left -= self._parse_piece() + _PIECE_COST_BYTES
        if self._may_parse():
            self._parse_soon()
        if self._request_is_arriving():
            self._unset_keepalive_if_required()
            self._expect_request()
        self._read_if_there_is_room()

    def _may_parse(self) -> bool:
        if not self._unparsed or self._is_ending() or self.flow.read_paused:
            return False
        return not self._response_is_pending() or self._request_is_arriving()

    def _request_is_arriving(self) -> bool:
        """Whether a part of the current request has arrived, and a part is missing."""
        if self._response_is_pending():
            return self._requests.phase is Phase.BODY and self.cycle is self._responding
        return self._requests.phase is not Phase.BETWEEN

    def _response_is_pending(self) -> bool:
        return self._responding is not None and not self._responding.response_complete

    def _parse_piece(self) -> int:
        """Parse up to the end of a head or a body.

        A piece therefore almost never contains parts of two requests.

        Returns:
            the size of the piece, in bytes.
        """
        size = min(self._requests.body_left, _TURN_BYTES)
        if size <= 0:
            end = self._unparsed.find(_HEAD_END, 0, _TURN_BYTES)
            size = _TURN_BYTES if end < 0 else end + len(_HEAD_END)
        piece = bytes(self._unparsed[:size])
        del self._unparsed[: len(piece)]
        try:
            self._requests.feed_data(piece)
        except RefusedError as refusal:
            self._refuse(refusal)
        return len(piece)

    def _read_if_there_is_room(self) -> None:
        if len(self._unparsed) < _UNPARSED_BYTES:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _is_ending(self) -> bool:
        return self._refusal is not None or self.transport.is_closing()

    def _expect_request(self) -> None:
        if self._receiving is None and not self._is_ending():
            self._receiving = self.loop.call_later(self.limits.receive_seconds, self._give_up)

    def _stop_expecting(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _cut_off(self) -> None:
        self.metrics.connections_ended.labels("stalled").inc()
        self.transport.abort()

    def _give_up(self) -> None:
        if self._requests.phase is Phase.BETWEEN:
            self.transport.close()  # there is no request to respond to
        else:
            detail = f"the request did not arrive within {self.limits.receive_seconds:g} s"
            self._refuse(RefusedError(408, "request_timeout", detail))

    def _refuse(self, refusal: RefusedError) -> None:
        """Refuse the request that is arriving. Responses to earlier requests are sent first."""
        self.metrics.connections_ended.labels(refusal.code).inc()
        self._refusal = refusal
        self._unparsed.clear()
        self._read_if_there_is_room()
        self._stop_expecting()
        if self._requests.phase is Phase.BODY:
            self._abandon(self.cycle)
        if not (self._response_is_pending() or self.transport.is_closing()):
            self._send(refusal)

    def _abandon(self, cycle: RequestResponseCycle) -> None:
        """Stop the work for a request whose body is refused."""
        if cycle is not self._responding:
            self.pipeline.clear()
        elif cycle.response_complete:
            self.transport.close()
        elif cycle.response_started:  # the client would read another status as part of the body
            self.transport.abort()
        else:
            _disconnect(cycle)
            self._responding = None

    def _send(self, refusal: RefusedError) -> None:
        self.transport.write(refusal.response())
        if refusal.status == 503:  # there are too many connections, so this one must not linger
            self._lingering.close_at_once()
        else:
            self.transport.close()


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Tell the application that its client has disconnected, and send nothing more."""
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
