"""Raw sockets to a server, for clients that misbehave."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.server import RunningServer

ENDLESS = b"GET /generate?length=1000000&seed=1 HTTP/1.1\r\nHost: charstream\r\n\r\n"


@contextmanager
def connected(
    server: RunningServer, sent: bytes = b"", receive_buffer: int | None = None
) -> Iterator[socket.socket]:
    """Connect to a server and send something."""
    address = urlsplit(server.url)
    with socket.socket() as client:
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.connect((address.hostname, address.port))
        client.sendall(sent)
        yield client


def all_received(client: socket.socket) -> bytes:
    """Receive until the server closes or resets the connection."""
    received = b""
    try:
        while data := client.recv(1 << 16):
            received += data
    except ConnectionError:
        pass
    return received
