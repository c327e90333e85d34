"""Many readers: clients that come at once, and each read a short stream over a new connection."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from functools import partial

import uvloop

_CHARACTER = re.compile(rb'\ndata: {"token": "(.*?)"}\n')
_END = b"event: done\n"
_BACKLOG = 500  # connections that are made at the same time, fewer than a system's queue holds


@dataclass
class Read:
    """What all readers received: characters per second, and the longest wait for the first one."""

    rate: float
    longest_wait: float  # seconds


def many_readers(port: int, readers: int, characters: int) -> Read:
    """Measure clients that each read one text.

    Raises:
        RuntimeError: if a text is not complete, or differs from the one of its seed.
    """
    return uvloop.run(_measure(port, readers, characters))


async def _measure(port: int, readers: int, characters: int) -> Read:
    loop = asyncio.get_running_loop()
    turns = asyncio.Semaphore(_BACKLOG)

    async def read(number: int) -> _Reader:
        seed = number % 10
        async with turns:
            make = partial(_Reader, _request(characters, seed), loop.create_future())
            _, reader = await loop.create_connection(make, "127.0.0.1", port)
        await reader.ended
        if (text := reader.text()) != expected[seed]:
            raise RuntimeError(f"reader {number} received {text!r}, expected {expected[seed]!r}")
        return reader

    expected = [await _alone(port, characters, seed) for seed in range(10)]
    began = time.perf_counter()
    all_readers = await asyncio.gather(*map(read, range(readers)))
    passed = time.perf_counter() - began
    return Read(readers * characters / passed, max(r.first for r in all_readers) - began)


async def _alone(port: int, characters: int, seed: int) -> str:
    """Return the text of a seed, from a stream without others."""
    loop = asyncio.get_running_loop()
    make = partial(_Reader, _request(characters, seed), loop.create_future())
    _, reader = await loop.create_connection(make, "127.0.0.1", port)
    await reader.ended
    text = reader.text()
    if len(text) != characters:
        raise RuntimeError(f"expected {characters} characters, received {text!r}")
    return text


def _request(characters: int, seed: int) -> bytes:
    path = f"/generate?length={characters}&seed={seed}"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class _Reader(asyncio.Protocol):
    """Sends a request, and receives until the text has ended."""

    def __init__(self, request: bytes, ended: asyncio.Future[None]) -> None:
        self._request, self.ended = request, ended
        self._received = bytearray()
        self.first = 0.0  # time of the first character

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.first and _CHARACTER.search(self._received):
            self.first = time.perf_counter()
        if _END in self._received[-600:]:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def text(self) -> str:
        """Return the characters of the events."""
        characters = b"".join(_CHARACTER.findall(bytes(self._received)))
        text: str = json.loads(b'"' + characters + b'"')
        return text
