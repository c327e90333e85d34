"""Soak test: a long run under mixed traffic that reports the server's memory each minute.

python -m benchmarks.soak --minutes 30
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from random import Random

from benchmarks.running_service import RunningService, running_service
from benchmarks.traffic import Counts, metric, open_stream, read, resident_megabytes

_TOLERANCE = 1.05  # maximum ratio of the memory at the end to the memory after the warm-up
_WARM_MINUTES = 5  # until caches and allocators are full
_PAUSE_SECONDS = 0.2  # mean pause of a client between two requests


def main() -> None:
    """Exit with 1 if memory grew, or if a text differed from the first one with its seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("checkpoints/anna.safetensors"),
        help="model to serve (default %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=int, default=30, help="duration of the run (default %(default)s)"
    )
    parser.add_argument(
        "--clients", type=int, default=6, help="number of clients (default %(default)s)"
    )
    options = parser.parse_args()
    with running_service(
        options.checkpoint, max_streams=16, stall_seconds=5, cache_mb=16
    ) as service:
        traffic = _Traffic(service)
        sizes = asyncio.run(_soak(service, traffic, options.minutes, options.clients))
    counts, wrong = traffic.counts, traffic.wrong
    print(
        f"{counts.characters:,} characters, responses by status {counts.statuses}, {wrong} wrong "
        "texts"
    )
    warm = sizes[min(_WARM_MINUTES, len(sizes)) - 1]
    grown = sizes[-1] / warm
    minute = min(_WARM_MINUTES, len(sizes))
    print(f"resident memory at the end: {grown:.3f} times that after minute {minute}")
    if grown > _TOLERANCE or wrong:
        sys.exit(1)


class _Traffic:
    """Clients that read whole texts, disconnect early, or stop reading."""

    def __init__(self, service: RunningService) -> None:
        self.counts, self.wrong = Counts(), 0
        self._port, self._texts = service.port, dict[int, str]()

    async def client(self, number: int, end: float) -> None:
        """Send requests until the time `end`."""
        random = Random(number)
        while time.monotonic() < end:
            seed, kind = random.randrange(200), random.random()
            if kind < 0.2:  # disconnects early
                async with open_stream(self._port, 100_000, seed) as (_, reader):
                    await reader.read(random.randrange(1, 5000))
            elif kind < 0.22:  # stops reading
                async with open_stream(self._port, 100_000, seed, query="&logprobs=10"):
                    await asyncio.sleep(8)
            else:
                await self._read(random.choice([20, 200, 1000]), seed)
            await asyncio.sleep(random.random() * 2 * _PAUSE_SECONDS)

    async def _read(self, length: int, seed: int) -> None:
        """Read a text and compare it with earlier texts of the same seed."""
        text = (await read(self._port, length, seed, self.counts)).text
        known = self._texts.setdefault(seed, text)
        shared = min(len(known), len(text))
        self.wrong += known[:shared] != text[:shared] or len(text) != length
        self._texts[seed] = max(known, text, key=len)


async def _soak(
    service: RunningService, traffic: _Traffic, minutes: int, clients: int
) -> list[float]:
    """Run the clients. Return the resident megabytes after each minute."""
    end = time.monotonic() + 60 * minutes
    running = [asyncio.create_task(traffic.client(number, end)) for number in range(clients)]
    sizes = []
    for minute in range(1, minutes + 1):
        await asyncio.sleep(max(0.0, end - 60 * (minutes - minute) - time.monotonic()))
        sizes.append(await asyncio.to_thread(resident_megabytes, service.port))
        files = await asyncio.to_thread(metric, service.port, "process_open_fds")
        print(
            f"minute {minute:3}: {sizes[-1]:.1f} MB resident, {files:.0f} open files, "
            f"{traffic.counts.characters:,} characters",
            flush=True,
        )
    await asyncio.gather(*running)
    return sizes


if __name__ == "__main__":
    main()
