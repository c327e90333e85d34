"""Resumes: resumes streams at random offsets and checks that the rest of the text is exact.

The time after which an idle stream sends a ping is short and changes constantly, so that pings are
due in every phase: while a text is generated again, while the first new character arrives, and
between two chunks.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.api import sse
from app.main import create_app
from app.settings import Settings
from tests.events import Event, parse_events

_PING_SECONDS = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 15.0)
_CLIENTS = 24
_TIMEOUT = 60.0  # seconds without a byte: only a stream that hangs takes so long
_REPORTED = 5000  # resumes between two lines of progress
_ODD = "0123456789abcdefg-+_ .ABC\u00e9\u0663"  # characters to insert into event ids
_REQUESTS: tuple[dict[str, Any], ...] = (
    {"length": 120, "seed": 1},
    {"length": 60, "seed": 2, "logprobs": 2},
    {"length": 150, "seed": 3, "stop": ["e", "th"], "top_k": None},
    {"length": 3, "seed": 4},
    {"length": 250, "seed": 2**63 - 1, "temperature": 0.5},
)


@dataclass
class ResumeCounts:
    """Numbers of tries and responses, and descriptions of the faults found."""

    resumes: int = 0
    odd_ids: int = 0
    pings: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def fuzz_resumes(checkpoint: Path, resumes: int) -> ResumeCounts:
    """Resume the given number of streams and check the results. Return the counts."""
    counts, chance = ResumeCounts(), random.Random(0)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_server(checkpoint))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=_TIMEOUT)
        )
        whole = [await _stream(client, request, None, counts) for request in _REQUESTS]
        changing = asyncio.create_task(_change_ping_seconds(chance))

        async def resume() -> None:
            while counts.resumes < resumes:
                counts.resumes += 1
                if counts.resumes % _REPORTED == 0:
                    print(f"{counts.resumes:,} resumes, {len(counts.wrong):,} wrong", flush=True)
                index = chance.randrange(len(_REQUESTS))
                await _check(client, _REQUESTS[index], whole[index], chance, counts)
                if counts.resumes % 10 == 0:
                    await _check_odd_id(client, chance, counts)

        await asyncio.gather(*(resume() for _ in range(_CLIENTS)))
        changing.cancel()
    return counts


async def _check(
    client: httpx.AsyncClient,
    request: dict[str, Any],
    whole: list[Event],
    chance: random.Random,
    counts: ResumeCounts,
) -> None:
    """Resume a stream after a random character, and compare the result with the whole text."""
    offset = chance.randrange(len(whole) - 1)
    rest = await _stream(client, request, whole[offset].id, counts)
    expected = [(e.id, e.data) for e in whole[offset + 1 : -1]]
    received = [(e.id, e.data) for e in rest if e.name == "message"]
    ended = rest[-1].name == "done" if rest else not expected
    if received != expected or not ended:
        counts.wrong.append(f"{request} after {whole[offset].id}: {len(received)} characters")


async def _check_odd_id(
    client: httpx.AsyncClient, chance: random.Random, counts: ResumeCounts
) -> None:
    """Send an event id with random changes. The response must be 200, 204 or 422."""
    last_id = list("1-50")
    for _ in range(chance.randrange(1, 4)):
        last_id.insert(chance.randrange(len(last_id) + 1), chance.choice(_ODD))
    counts.odd_ids += 1
    value = "".join(last_id).strip().encode()  # the client refuses to send spaces around a value
    headers = [(b"last-event-id", value)]
    response = await client.get("/generate", params={"length": 60}, headers=headers)
    counts.statuses[response.status_code] += 1
    if response.status_code not in (200, 204, 422):
        counts.wrong.append(f"id {headers}: {response.status_code}")


async def _stream(
    client: httpx.AsyncClient, request: dict[str, Any], last_id: str | None, counts: ResumeCounts
) -> list[Event]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    response = await client.post("/generate", json={**request, "stream": True}, headers=headers)
    counts.statuses[response.status_code] += 1
    counts.pings += response.text.count(": ping")
    return list(parse_events(response.text.split("\n")))


async def _change_ping_seconds(chance: random.Random) -> None:
    while True:
        sse.PING_SECONDS = chance.choice(_PING_SECONDS)
        await asyncio.sleep(chance.uniform(0.001, 0.05))


@asynccontextmanager
async def _server(checkpoint: Path) -> AsyncIterator[str]:
    """Run the service in this process, where the time between pings can be changed."""
    app = create_app(Settings(checkpoint=checkpoint, max_streams=16, max_queue=64, cache_mb=1))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


def described(counts: ResumeCounts) -> str:
    """Return the counts as lines of text."""
    statuses = ", ".join(f"{status}: {n:,}" for status, n in sorted(counts.statuses.items()))
    wrong = "\n".join(counts.wrong[:10])
    return (
        f"{counts.resumes:,} resumes, {counts.odd_ids:,} changed ids, {counts.pings:,} pings\n"
        f"responses by status: {statuses}\n"
        f"wrong: {len(counts.wrong):,}\n{wrong}"
    ).rstrip()
