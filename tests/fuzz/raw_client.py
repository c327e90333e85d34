"""A raw connection to a server, which records the requests and checks the responses."""

from __future__ import annotations

import json
import select
import socket
import struct
import time

from tests.fuzz.messages import Kind, Message
from tests.fuzz.responses import Response, read_responses

_TIMEOUT_SECONDS = 30  # for the server to read or to write
_KEEPING = (Kind.KEPT, Kind.SAYS)  # further requests may get responses
_IDLE_SECONDS = 3  # the server closes a connection that is idle for slightly longer


class RawClient:
    """Sends bytes in any pieces, and checks that the responses belong to the requests.

    Attributes:
        expected: the messages that need a response, with their ids, in order.
        outgoing: bytes that have not been sent.
        left: whether the client has closed its side, so that responses may be incomplete.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.expected: list[tuple[Message, str]] = []
        self.outgoing = bytearray()
        self.left = False
        self._received = bytearray()
        self._closed = False  # by the server
        self._was_idle = False
        self._last_sent = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether the server will not respond to further requests on this connection."""
        return bool(self.expected) and self.expected[-1][0].kind not in _KEEPING

    def ask(self, message: Message, request_id: str) -> None:
        """Append a request to the outgoing bytes."""
        if not self.ended:
            self.expected.append((message, request_id))
        self.outgoing += message.encoded(request_id)

    def send(self, size: int) -> None:
        """Send up to `size` bytes. Read responses only while the server does not accept bytes."""
        if time.monotonic() > self._last_sent + _IDLE_SECONDS:
            self._was_idle = True
        while size > 0 and self.outgoing and not (self._closed or self.left):
            readable, writable, _ = select.select(
                [self.socket], [self.socket], [], _TIMEOUT_SECONDS
            )
            assert readable or writable, "the server neither reads nor writes"
            if writable:
                try:
                    sent = self.socket.send(self.outgoing[:size])
                except OSError:
                    self.outgoing.clear()  # the server has closed; its responses are read later
                    break
                size -= sent
                del self.outgoing[:sent]
            else:
                self._receive()
        self._last_sent = time.monotonic()

    def read(self) -> None:
        """Read the data that has arrived, without waiting."""
        while not self._closed and select.select([self.socket], [], [], 0)[0]:
            self._receive()

    def half_close(self) -> None:
        """Close the sending side. The server treats this as a disconnection."""
        if not self._closed:
            self.left = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._closed = True

    def reset(self) -> None:
        """Reset the connection without reading the data that has arrived."""
        self.left = self._closed = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish(self) -> list[Response]:
        """Send the rest, read to the end, and check all responses.

        Raises:
            AssertionError: if they do not match the requests, or the server does not close the
                connection.
            ResponseError: if they are not well-formed.
        """
        self.send(len(self.outgoing))
        while not self._closed:
            assert select.select([self.socket], [], [], _TIMEOUT_SECONDS)[0], "no end arrives"
            self._receive()
        self.socket.close()
        methods = [message.method for message, _ in self.expected]
        responses = read_responses(bytes(self._received), methods, closed=True)
        final = [response for response in responses if response.status >= 200]
        for number, response in enumerate(final):
            self._check(number, response, is_last=number == len(final) - 1)
        self._check_all_came(final)
        return final

    def _receive(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        self._closed = not data
        self._received += data

    def _check(self, number: int, response: Response, is_last: bool) -> None:
        assert number < len(self.expected), f"a response without a request: {response}"
        message, request_id = self.expected[number]
        status, headers = response.status, response.headers
        assert status < 500 or (status == 503 and "retry-after" in headers), (message, response)
        if "x-request-id" in headers:
            assert headers["x-request-id"] == request_id, (message.name, request_id, response)
            assert message.kind is not Kind.NOT_HTTP, (message.name, response)
            assert status in (*message.statuses, 503) or message.kind is Kind.BROKEN, (
                message,
                response,
            )
        else:
            assert is_last, f"a refusal before other responses: {response}"
            assert headers["connection"] == "close"
            fits = message.kind in (Kind.NOT_HTTP, Kind.BROKEN) and status in message.statuses
            assert fits or status == 408, (message.name, response)
            assert not response.complete or set(json.loads(response.body)) == {"detail", "code"}
        closes = headers.get("connection") == "close"
        assert not closes or message.kind is not Kind.KEPT or status == 408, (message, response)
        assert is_last or (message.kind in _KEEPING and not closes), (message.name, response)

    def _check_all_came(self, final: list[Response]) -> None:
        """Check that no response is missing, except the one to a request with a broken body."""
        if self.left or self._was_idle or (final and final[-1].status == 408):
            return
        count = len(self.expected)
        if final and final[-1].headers.get("connection") == "close":
            count = len(final)  # `_check` has compared it with the kind of the request
        elif self.expected and self.expected[-1][0].kind is Kind.BROKEN:
            count -= 1
        assert len(final) >= count, f"{len(final)} responses to {self.expected}"
        assert all(response.complete for response in final[:count]), final
