"""Resumes: resumes streams at random offsets and checks that the rest of the text is exact.

The time after which an idle stream sends a ping is short and changes constantly, so that pings are
due in every phase: while a text is generated again, while the first new character arrives, and
between two chunks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.api import sse
from app.main import create_app
from app.settings import Settings
from tests.events import Event, parse_events
from tests.fuzz.counts import Counts

_PING_SECONDS = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 15.0)
_CLIENTS = 24
_TIMEOUT = 60.0  # seconds without a byte: only a stream that hangs takes so long
_ODD = "0123456789abcdefg-+_ .ABC\u00e9\u0663"  # characters to insert into event ids
_REQUESTS: tuple[dict[str, Any], ...] = (
    {"length": 120, "seed": 1},
    {"length": 60, "seed": 2, "logprobs": 2},
    {"length": 150, "seed": 3, "stop": ["e", "th"], "top_k": None},
    {"length": 3, "seed": 4},
    {"length": 250, "seed": 2**63 - 1, "temperature": 0.5},
)


async def fuzz_resumes(
    checkpoint: Path, resumes: int, chance: random.Random, counts: Counts
) -> None:
    """Resume the given number of streams, and send a tenth as many odd event ids.

    Raises:
        AssertionError: if the rest of a text differs, or a response has an unexpected status.
    """
    async with (
        _server(checkpoint) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=_TIMEOUT) as client,
    ):
        fuzzer = _Fuzzer(client, chance, counts)
        whole = [await fuzzer.stream(request) for request in _REQUESTS]
        changing = asyncio.create_task(_change_ping_seconds(chance))
        numbers = iter(range(resumes))

        async def resume() -> None:
            for number in numbers:  # of all clients together
                index = chance.randrange(len(_REQUESTS))
                await fuzzer.resume(_REQUESTS[index], whole[index])
                if number % 10 == 0:
                    await fuzzer.send_odd_id()

        await asyncio.gather(*(resume() for _ in range(_CLIENTS)))
        changing.cancel()
    counts.check()


class _Fuzzer:
    def __init__(self, client: httpx.AsyncClient, chance: random.Random, counts: Counts) -> None:
        self._client, self._chance, self._counts = client, chance, counts

    async def stream(self, request: dict[str, Any], last_id: str | None = None) -> list[Event]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        body = {**request, "stream": True}
        response = await self._client.post("/generate", json=body, headers=headers)
        self._counts.results[str(response.status_code)] += 1
        self._counts.results["pings"] += response.text.count(": ping")
        return list(parse_events(response.text.split("\n")))

    async def resume(self, request: dict[str, Any], whole: list[Event]) -> None:
        """Resume a stream after a random character, and compare the result with the whole text."""
        self._counts.tries["resumes"] += 1
        offset = self._chance.randrange(len(whole) - 1)
        rest = await self.stream(request, whole[offset].id)
        expected = [(e.id, e.data) for e in whole[offset + 1 : -1]]
        received = [(e.id, e.data) for e in rest if e.name == "message"]
        ended = rest[-1].name == "done" if rest else not expected
        if received != expected or not ended:
            fault = f"{request} after {whole[offset].id}: {len(received)} characters"
            self._counts.wrong.append(fault)

    async def send_odd_id(self) -> None:
        """Send an event id with random changes. The response must be 200, 204 or 422."""
        self._counts.tries["odd ids"] += 1
        last_id = list("1-50")
        for _ in range(self._chance.randrange(1, 4)):
            last_id.insert(self._chance.randrange(len(last_id) + 1), self._chance.choice(_ODD))
        value = "".join(last_id).strip().encode()  # the client sends no spaces around a value
        headers = [(b"last-event-id", value)]
        response = await self._client.get("/generate", params={"length": 60}, headers=headers)
        self._counts.results[str(response.status_code)] += 1
        if response.status_code not in (200, 204, 422):
            self._counts.wrong.append(f"id {value!r}: {response.status_code}")


async def _change_ping_seconds(chance: random.Random) -> None:
    while True:
        sse.PING_SECONDS = chance.choice(_PING_SECONDS)
        await asyncio.sleep(chance.uniform(0.001, 0.05))


@asynccontextmanager
async def _server(checkpoint: Path) -> AsyncIterator[str]:
    """Run the service in this process, where the time between pings can be changed."""
    app = create_app(Settings(checkpoint=(checkpoint,), max_streams=16, max_queue=64, cache_mb=1))
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
