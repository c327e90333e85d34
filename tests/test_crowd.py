"""Many more clients than slots."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from benchmarks.traffic import Counts, read
from tests.server import RunningServer

LENGTH = 500  # long enough that the texts take longer than 200 connections


def test_200_clients_at_8_slots_are_all_served_or_told_when_to_come_back(
    server: RunningServer,
) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    counts = Counts()

    async def client(seed: int) -> str:
        """Comes back as often as it is told to, only sooner."""
        while True:
            answer = await read(port, LENGTH, seed % 10, counts, query="&logprobs=10")
            if answer.status == 200:
                assert answer.done
                return answer.text
            assert answer.status == 503
            assert answer.retry_after is not None
            await asyncio.sleep(0.05 * answer.retry_after)

    async def crowd() -> list[str]:
        return await asyncio.gather(*(client(seed) for seed in range(200)))

    texts = asyncio.run(crowd())
    assert counts.statuses[200] == 200
    assert counts.statuses[503] > 0
    assert all(len(text) == LENGTH and text == texts[n % 10] for n, text in enumerate(texts))
