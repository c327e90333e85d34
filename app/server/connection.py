"""Connection: an HTTP/1.1 connection with limits on the resources that a client can use."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, ClassVar

from starlette.types import ASGIApp, Scope
from uvicorn import Config
from uvicorn.server import ServerState

from app.api.disconnect import CLOSE_EXTENSION
from app.engine.metrics import Metrics
from app.server.connection_state import State
from app.server.exchange import Exchange, connection_scope
from app.server.forwarded_for import keep_addresses
from app.server.refusal import RefusedError
from app.server.request_parser import RequestParser
from app.settings import Settings

# Buffers of one connection in the operating system. Without a limit, the send buffer grows to
# megabytes for a slow reader, who then reads old text, and the receive buffer grows to megabytes
# for a client that sends faster than the server parses.
_SEND_BUFFER_BYTES = 1 << 17
_RECEIVE_BUFFER_BYTES = 1 << 16

_LINGER_SECONDS = 1
_TURN_BYTES = 1 << 14  # parsed in one turn of the event loop
_PIECE_COST_BYTES = 64  # fixed cost of parsing a piece, counted as bytes
_UNPARSED_BYTES = 1 << 16  # received and not yet parsed; beyond this, reading pauses
_LINGER_BYTES = 1 << 20  # received after the last response; beyond this, the connection closes


def bounded(settings: Settings, metrics: Metrics) -> type[Connection]:
    """Return a Connection class with the limits of some settings, to pass to uvicorn."""
    return type("BoundedConnection", (Connection,), {"settings": settings, "metrics": metrics})


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection that buffers a bounded amount of data.

    It handles one request at a time. Data that a client sends after a request stays unparsed until
    the response is complete. When `_UNPARSED_BYTES` are waiting, the connection stops reading.

    The connection sends an error response and closes if a request does not arrive in time (408), if
    its head is too large (431), if it is not valid HTTP (400), or if the server has too many
    connections (503). If a client stops reading for `stall_seconds`, the connection is aborted
    without a response, because nothing can be sent.

    Args:
        config: configuration of uvicorn, which creates the connections.
        server_state: what all connections share.
        app_state: values that the application has set at its start.
        _loop: the event loop, if it is not the running one.
    """

    settings: ClassVar[Settings]
    metrics: ClassVar[Metrics]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = _loop or asyncio.get_running_loop()
        self._app: ASGIApp = config.loaded_app
        self._app_state, self._server_state = app_state, server_state
        self._seconds = {  # the time limit of a state; that of HEAD goes on during BODY
            State.IDLE: config.timeout_keep_alive,
            State.HEAD: self.settings.receive_seconds,
            State.LINGERING: _LINGER_SECONDS,
            State.CLOSING: self.settings.stall_seconds,
        }
        self._state = State.IDLE
        self._timer: asyncio.TimerHandle | None = None  # for the state
        self._stall: asyncio.TimerHandle | None = None  # for a client that does not read
        self._room = asyncio.Event()  # the client reads what was written
        self._room.set()
        self._parser = RequestParser(self)
        self._exchange: Exchange | None = None  # None before the head of a request is complete
        self._unparsed = bytearray()
        self._parsing_soon = self._reading_paused = False
        self._lingered_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._scope = connection_scope(transport)
        self._scope["extensions"] = {CLOSE_EXTENSION: self.close}
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._timer = self._loop.call_later(self.settings.receive_seconds, self._expired)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        if len(self._server_state.connections) > self.settings.max_connections:
            detail = (
                f"the server has reached its limit of {self.settings.max_connections} connections"
            )
            self._refuse(RefusedError(503, "too_many_connections", detail))
            self._close_at_once()  # there are too many connections, so this one must not linger

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = State.CLOSED
        self._server_state.connections.discard(self)
        if self._exchange is not None:
            self._exchange.disconnect()
        self._room.set()
        # The rest breaks reference cycles, so the memory is freed at once.
        self._stop(self._timer)
        self._stop(self._stall)
        self._parser.close()
        self._scope.clear()
        self._exchange = None

    def data_received(self, data: bytes) -> None:
        if self._is_ending():
            self._lingered_bytes += len(data)
            if self._lingered_bytes > _LINGER_BYTES:
                self._close_at_once()
            return
        self._unparsed += data
        if not self._parsing_soon:
            self._parse()

    def eof_received(self) -> None:
        """End the exchange: a client that has closed its side is served no longer."""
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.disconnect()
        self._close_at_once()

    def pause_writing(self) -> None:
        self._room.clear()
        self._stall = self._loop.call_later(self.settings.stall_seconds, self._cut_off)

    def resume_writing(self) -> None:
        self._room.set()
        self._stop(self._stall)

    def shutdown(self) -> None:
        """Close the connection when it has no request to answer. uvicorn calls this."""
        if self._exchange is None or self._exchange.complete:
            self.close()
        else:
            self._exchange.keep_alive = False

    def close(self) -> None:
        """Close the connection so that what was written arrives.

        If a server closes a connection while the client is still sending, the operating system
        resets it, and the client loses the part of the response that it has not read (RFC 9112,
        section 9.6). So the connection first sends its end and drops what it receives, until the
        client closes too.
        """
        if not self._is_ending():
            self._unparsed.clear()
            self._read_if_there_is_room()
            self._enter(State.LINGERING)
            self._transport.write_eof()

    def abort(self) -> None:
        self._transport.abort()

    # Called by the parser

    def begin_head(self) -> None:
        self._exchange = None
        self._enter(State.HEAD)

    def begin_body(self, head: Scope, keep_alive: bool) -> None:
        self._enter(State.BODY)
        keep_addresses(head["headers"])
        scope = {**self._scope, **head, "state": self._app_state.copy()}
        headers = self._server_state.default_headers
        self._exchange = Exchange(self, self._room, scope, keep_alive, headers)
        task = self._exchange.start(self._app)
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def add_body(self, data: bytes) -> None:
        assert self._exchange is not None
        self._exchange.add_body(data)

    def end_body(self) -> None:
        assert self._exchange is not None
        self._exchange.end_body()
        self._enter(State.IDLE if self._exchange.complete else State.RESPONDING)

    # Called by the exchange

    def write(self, data: bytes) -> None:
        if not self._is_ending():
            self._transport.write(data)

    def parse_more(self) -> None:
        """Parse in the next turn of the event loop, if anything is left."""
        if self._unparsed and not self._parsing_soon:
            self._parsing_soon = True
            self._loop.call_soon(self._parse)

    def end_response(self) -> None:
        assert self._exchange is not None
        self._server_state.total_requests += 1
        if not self._exchange.keep_alive:
            self.close()
        elif self._state is State.RESPONDING:
            self._enter(State.IDLE)
        self.parse_more()

    def break_off(self) -> None:
        """Close because the application has failed."""
        if self._exchange is not None and not self._exchange.started:
            self.write(RefusedError(500, "internal", "internal server error").response())
        self.close()

    def _enter(self, state: State) -> None:
        self._state = state
        if state is not State.BODY:
            self._stop(self._timer)
        if (seconds := self._seconds.get(state)) is not None:
            self._timer = self._loop.call_later(seconds, self._expired)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

    def _expired(self) -> None:
        if self._state is State.IDLE:
            self.close()  # there is no request to respond to
        elif self._state is State.LINGERING:
            self._close_at_once()
        elif self._state is State.CLOSING:
            self.abort()
        else:
            detail = f"the request did not arrive within {self.settings.receive_seconds:g} s"
            self._refuse(RefusedError(408, "request_timeout", detail))

    def _parse(self) -> None:
        """Parse for one turn of the event loop, or until a response must be sent first."""
        self._parsing_soon = False
        left = _TURN_BYTES
        while left > 0 and self._may_parse():
            if not (piece := self._parser.take_piece(self._unparsed, _TURN_BYTES)):
                break
            left -= len(piece) + _PIECE_COST_BYTES
            try:
                self._parser.feed_data(piece)
            except RefusedError as refusal:
                self._refuse(refusal)
        if left <= 0:
            self.parse_more()
        self._read_if_there_is_room()

    def _may_parse(self) -> bool:
        if self._state is State.BODY:
            return self._exchange is not None and not self._exchange.is_full
        return self._state in (State.IDLE, State.HEAD)

    def _read_if_there_is_room(self) -> None:
        full = len(self._unparsed) >= _UNPARSED_BYTES
        if full is not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _is_ending(self) -> bool:
        ending = self._state in (State.LINGERING, State.CLOSING, State.CLOSED)
        return ending or self._transport.is_closing()

    def _refuse(self, refusal: RefusedError) -> None:
        """Refuse the request that is arriving, and close."""
        self.metrics.connections_ended.labels(refusal.code).inc()
        exchange = self._exchange if self._state is State.BODY else None
        if exchange is None or not exchange.started:
            if exchange is not None:
                exchange.disconnect()
            self.write(refusal.response())
        elif not exchange.complete:  # the client would read another status as part of the body
            self.abort()
        self.close()

    def _close_at_once(self) -> None:
        """Close without reading further. Data that was written is still sent."""
        self._enter(State.CLOSING)
        self._transport.close()

    def _cut_off(self) -> None:
        self.metrics.connections_ended.labels("stalled").inc()
        self.abort()
