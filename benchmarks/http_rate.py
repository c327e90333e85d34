"""Rate of the service over HTTP, as a client receives it that reads every event."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

from benchmarks.traffic import open_stream

_TOKEN = b'data: {"token": "'  # once per event, because quotes inside a token are escaped

OTHER_LENGTH = 100_000  # characters of the streams beside which a first character is measured


def http_rate(port: int, streams: int, characters: int, query: str = "") -> float:
    """Return the characters per second of all streams together, as the client receives them."""
    return asyncio.run(_http_rate(port, streams, characters, query))


def first_character_seconds(port: int, streams: int, prime: str, tries: int) -> list[float]:
    """Return sorted times from a request to its first character, while other streams run."""
    return asyncio.run(_first_character_seconds(port, streams, prime, tries))


async def read_rate(port: int, characters: int, seed: int, query: str = "") -> float:
    """Return the characters per second of one stream."""
    began = time.perf_counter()
    count = await _read_stream(port, characters, seed, query)
    return count / (time.perf_counter() - began)


async def _http_rate(port: int, streams: int, characters: int, query: str) -> float:
    began = time.perf_counter()
    reads = (_read_stream(port, characters, seed, query) for seed in range(streams))
    counts = await asyncio.gather(*reads)
    seconds = time.perf_counter() - began
    if counts != [characters] * streams:
        raise RuntimeError(f"expected {characters} characters per stream, received {counts}")
    return streams * characters / seconds


async def _first_character_seconds(port: int, streams: int, prime: str, tries: int) -> list[float]:
    others = [
        asyncio.ensure_future(_read_stream(port, OTHER_LENGTH, n)) for n in range(streams - 1)
    ]
    await asyncio.sleep(0.5)
    seconds = []
    for number in range(tries):
        began = time.perf_counter()
        # Each prime begins differently, so that the prefix cache has no entry for it.
        beginning = f"{streams:03}{number:03}"
        query = f"&prime={quote(beginning + prime[len(beginning) :])}"
        async with open_stream(port, 1, number, query=query) as (_, reader):
            await reader.readuntil(_TOKEN)
            seconds.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return sorted(seconds)


async def _read_stream(port: int, characters: int, seed: int, query: str = "") -> int:
    count, tail = 0, b""
    async with open_stream(port, characters, seed, query=query) as (_, reader):
        while data := await reader.read(1 << 16):
            count += (tail + data).count(_TOKEN)
            tail = (tail + data)[-len(_TOKEN) + 1 :]
    return count
