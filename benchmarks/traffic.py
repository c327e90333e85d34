"""Traffic: raw HTTP clients that read streams, and counts of what they received."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TEXT_LENGTH = 1000  # characters of an ordinary request

_EVENT = b'data: {"token"'
_ID = re.compile(rb"^id: (\S+)$", re.MULTILINE)
_TOKEN = re.compile(rb"^data: (\{\"token\": .*\})$", re.MULTILINE)


@dataclass
class Response:
    """The part of a stream that a client received."""

    status: int = 0
    retry_after: int | None = None
    body: bytes = b""

    @property
    def done(self) -> bool:
        """Whether the final event arrived."""
        return b"\nevent: done\n" in self.body[-1000:]

    @property
    def last_id(self) -> str:
        """Id of the last complete event, or an empty string."""
        ids = _ID.findall(self.body.rpartition(b"\n\n")[0])
        return ids[-1].decode() if ids else ""

    @property
    def text(self) -> str:
        return "".join(json.loads(data)["token"] for data in _TOKEN.findall(self.body))

    @property
    def resumable_text(self) -> str:
        """The characters up to the last complete event, after which a stream can be resumed."""
        return self.text[: int(self.last_id.partition("-")[2] or 0)]


@dataclass
class Counts:
    """Counts of responses by status, and of received characters."""

    characters: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    without_retry_after: int = 0

    def add(self, response: Response) -> None:
        self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        self.without_retry_after += response.status == 503 and response.retry_after is None


@asynccontextmanager
async def open_stream(
    port: int, length: int, seed: int, last_id: str = "", query: str = ""
) -> AsyncIterator[tuple[Response, asyncio.StreamReader]]:
    """Request a stream. Yield the response's status and a reader of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"GET /generate?length={length}&seed={seed}{query} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        waits = [line.partition(":")[2] for line in lines if line.startswith("retry-after:")]
        yield Response(int(lines[0].split()[1]), int(waits[0]) if waits else None), reader
    finally:
        writer.transport.abort()


async def read(
    port: int,
    length: int,
    seed: int,
    counts: Counts | None = None,
    last_id: str = "",
    query: str = "",
) -> Response:
    """Read a stream to its end, or until the connection breaks."""
    chunks = []
    async with open_stream(port, length, seed, last_id, query) as (response, reader):
        try:
            while chunk := await reader.read(1 << 16):
                chunks.append(chunk)
                if counts is not None:  # off by one where a chunk ends inside an event
                    counts.characters += chunk.count(_EVENT)
        except ConnectionError:
            pass
    response.body = b"".join(chunks)
    if counts is not None:
        counts.add(response)
    return response


def metric(port: int, name: str) -> float:
    """Return the value of a metric that has no labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        for line in response.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    raise RuntimeError(f"the service has no metric {name}")


def resident_megabytes(port: int) -> float:
    """Return the resident memory of a server's process in MB. Linux only."""
    return metric(port, "process_resident_memory_bytes") / 2**20


async def measure_rate(port: int, clients: int, seconds: float) -> tuple[float, Counts]:
    """Return the characters per second of clients that send one request after another.

    A client waits for the seconds of a Retry-After. The time in which all clients connect is
    included.
    """
    counts, began = Counts(), time.monotonic()
    ended = began + seconds

    async def client(number: int) -> None:
        while time.monotonic() < ended:
            response = await read(port, TEXT_LENGTH, number, counts)
            if response.retry_after is not None:
                await asyncio.sleep(min(response.retry_after, max(0, ended - time.monotonic())))

    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    await asyncio.sleep(seconds)
    rate = counts.characters / (time.monotonic() - began)
    await asyncio.gather(*tasks)
    return rate, counts


async def wait_until_idle(port: int) -> None:
    """Wait until no stream is active, at most ten seconds."""
    deadline = time.monotonic() + 10
    while metric(port, "charstream_streams_active") and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


def common_prefix(whole: str, text: str) -> int:
    """Return the number of characters before the first difference of two texts."""
    pairs = zip(whole, text, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(whole), len(text)))
