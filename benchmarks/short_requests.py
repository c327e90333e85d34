"""Short requests: how many a second a server answers over kept-alive connections."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop

GENERATE = ("/generate", {"length": 20, "seed": 1})
SCORE = ("/score", {"text": "All happy families a"})

_LENGTH = b"content-length: "
_HEAD_END = b"\r\n\r\n"


@dataclass
class Answers:
    """What the connections received: requests per second, and the sorted seconds of each."""

    rate: float
    seconds: list[float]

    def __str__(self) -> str:
        return f"{self.rate:,.0f} ({self.milliseconds(0.5):.1f}, {self.milliseconds(0.99):.1f})"

    def milliseconds(self, share: float) -> float:
        """Return the time within which a share of the requests was answered."""
        return 1000 * self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def short_requests(
    port: int, request: tuple[str, dict[str, Any]], connections: int, seconds: float
) -> Answers:
    """Measure connections that each send one request after the other.

    Raises:
        RuntimeError: if a response is not 200.
    """
    path, fields = request
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    content = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return uvloop.run(_measure(port, content, connections, seconds))


async def _measure(port: int, content: bytes, connections: int, seconds: float) -> Answers:
    loop = asyncio.get_running_loop()
    ended = [loop.create_future() for _ in range(connections)]
    clients = [
        (await loop.create_connection(partial(_Client, content, future), "127.0.0.1", port))[1]
        for future in ended
    ]
    for client in clients:
        client.until = time.perf_counter() + seconds
        client.send()
    began = time.perf_counter()
    await asyncio.gather(*ended)
    passed = time.perf_counter() - began
    times = sorted(each for client in clients for each in client.seconds)
    return Answers(len(times) / passed, times)


class _Client(asyncio.Protocol):
    """Sends a request as soon as the response to the one before is complete."""

    def __init__(self, content: bytes, ended: asyncio.Future[None]) -> None:
        self._content, self._ended = content, ended
        self._received = b""
        self.until, self.seconds = 0.0, list[float]()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._content)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data
        head_end = received.find(_HEAD_END)
        if head_end < 0:
            return
        length = received.lower().find(_LENGTH)
        size = int(received[length + len(_LENGTH) : received.index(b"\r", length)])
        if len(received) < head_end + len(_HEAD_END) + size:
            return
        if not received.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(received.decode("utf-8", "replace")))
            return
        self._received = b""
        now = time.perf_counter()
        self.seconds.append(now - self._sent)
        if now < self.until:
            self.send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._transport.close()
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)
