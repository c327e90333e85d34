"""Traffic: clients of a server, well-behaved and otherwise."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_EVENT = b'data: {"token"'
_ID = re.compile(rb"^id: (\S+)$", re.MULTILINE)
_TOKEN = re.compile(rb"^data: (\{\"token\": .*\})$", re.MULTILINE)


@dataclass
class Answer:
    """What came of a stream."""

    status: int = 0
    retry_after: int | None = None
    body: bytes = b""

    @property
    def done(self) -> bool:
        """Whether its last event came."""
        return b"\nevent: done\n" in self.body[-1000:]

    @property
    def last_id(self) -> str:
        """Of the last event that came whole."""
        ids = _ID.findall(self.body.rpartition(b"\n\n")[0])
        return ids[-1].decode() if ids else ""

    @property
    def text(self) -> str:
        return "".join(json.loads(data)["token"] for data in _TOKEN.findall(self.body))


@dataclass
class Counted:
    """Answers by their kind, and characters as they come."""

    characters: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    without_retry_after: int = 0

    def add(self, answer: Answer) -> None:
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        self.without_retry_after += answer.status == 503 and answer.retry_after is None


@asynccontextmanager
async def asking(
    port: int, length: int, seed: int, last_id: str = "", query: str = ""
) -> AsyncIterator[tuple[Answer, asyncio.StreamReader]]:
    """A stream whose head has come, and where its events do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"GET /generate?length={length}&seed={seed}{query} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        after = [line.partition(":")[2] for line in lines if line.startswith("retry-after:")]
        yield Answer(int(lines[0].split()[1]), int(after[0]) if after else None), reader
    finally:
        writer.transport.abort()


async def read(
    port: int,
    length: int,
    seed: int,
    counted: Counted | None = None,
    last_id: str = "",
    query: str = "",
) -> Answer:
    """Reads a stream to its end, or to where the connection breaks."""
    chunks = []
    async with asking(port, length, seed, last_id, query) as (answer, reader):
        try:
            while chunk := await reader.read(1 << 16):
                chunks.append(chunk)
                if counted is not None:  # to within one where a chunk ends inside of an event
                    counted.characters += chunk.count(_EVENT)
        except ConnectionError:
            pass
    answer.body = b"".join(chunks)
    if counted is not None:
        counted.add(answer)
    return answer


def metric(port: int, name: str) -> float:
    """A metric without labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    raise RuntimeError(f"the service does not tell {name}")
