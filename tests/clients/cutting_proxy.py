"""A proxy that breaks connections after some bytes."""

from __future__ import annotations

import random
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle


@contextmanager
def cutting_proxy(
    port: int | Sequence[int], seed: int, longest: int = 6000, cuts: list[int] | None = None
) -> Iterator[str]:
    """The address of a proxy to a port that breaks connections after some bytes.

    Args:
        port: where the server is, or several ports of servers that take turns.
        seed: of the numbers of bytes.
        longest: the most bytes.
        cuts: receives those numbers; from the 100th on connections are left whole. By default
            every connection is broken.
    """
    random_bytes = random.Random(seed)
    listener = socket.create_server(("127.0.0.1", 0))
    ports = cycle([port] if isinstance(port, int) else port)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            allowed = random_bytes.randint(0, longest)
            if cuts is not None:
                allowed = allowed if len(cuts) < 100 else sys.maxsize
                cuts.append(allowed)
            threading.Thread(target=relay, args=(client, next(ports), allowed), daemon=True).start()

    def relay(client: socket.socket, port: int, allowed: int) -> None:
        with (
            client,
            suppress(ConnectionError),  # while the server is down
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            threading.Thread(target=forward, args=(client, server), daemon=True).start()
            while allowed > 0 and (data := server.recv(min(allowed, 1000))):
                client.sendall(data)
                allowed -= len(data)
            for end in (client, server):  # a close alone waits for the other thread's reading
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def forward(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
