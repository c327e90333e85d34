"""Clients that do not behave: raw sockets to a server."""

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
    """A connection on which something has been sent."""
    address = urlsplit(server.url)
    with socket.socket() as client:
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.connect((address.hostname, address.port))
        client.sendall(sent)
        yield client


def all_received(client: socket.socket) -> bytes:
    """What comes until the server ends the connection, in whichever way."""
    received = b""
    try:
        while data := client.recv(1 << 16):
            received += data
    except ConnectionError:
        pass
    return received
