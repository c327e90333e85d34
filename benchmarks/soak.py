"""A long run under mixed traffic, with the server's memory minute by minute.

python -m benchmarks.soak --minutes 30
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

from benchmarks.http_rate import RunningService, running_service
from benchmarks.traffic import Counted, asking, metric, read

_TOLERANCE = 1.05  # of the memory at the end over that after the warm-up
_WARM_MINUTES = 5  # caches and allocators have filled by then
_PAUSE_SECONDS = 0.2


def main() -> None:
    """Exits with 1 if memory grew, or a text came out otherwise than the first time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--clients", type=int, default=6)
    options = parser.parse_args()
    with running_service(options.checkpoint, 16, stall_seconds="5", cache_mb="16") as service:
        sizes, counted, wrong = asyncio.run(_soak(service, options.minutes, options.clients))
    print(f"{counted.characters:,} characters, answers by status {counted.statuses}, {wrong} wrong")
    warm = sizes[min(_WARM_MINUTES, len(sizes)) - 1]
    grown = sizes[-1] / warm
    print(f"resident at the end {grown:.3f} times that of minute {min(_WARM_MINUTES, len(sizes))}")
    if grown > _TOLERANCE or wrong:
        sys.exit(1)


async def _soak(
    service: RunningService, minutes: int, clients: int
) -> tuple[list[float], Counted, int]:
    counted, texts = Counted(), dict[int, str]()
    wrong = 0
    ended = time.monotonic() + 60 * minutes

    async def client(number: int) -> None:
        nonlocal wrong
        draw = random.Random(number)
        while time.monotonic() < ended:
            seed, length = draw.randrange(200), draw.choice([20, 200, 1000])
            kind = draw.random()
            if kind < 0.2:  # goes away
                async with asking(service.port, 100_000, seed) as (_, reader):
                    await reader.read(draw.randrange(1, 5000))
            elif kind < 0.22:  # stops reading
                async with asking(service.port, 100_000, seed, query="&logprobs=10"):
                    await asyncio.sleep(8)
            else:
                text = (await read(service.port, length, seed, counted)).text
                known = texts.setdefault(seed, text)
                shared = min(len(known), len(text))
                wrong += known[:shared] != text[:shared] or len(text) != length
                texts[seed] = max(known, text, key=len)
            await asyncio.sleep(draw.random() * 2 * _PAUSE_SECONDS)

    running = [asyncio.create_task(client(number)) for number in range(clients)]
    sizes = []
    for minute in range(1, minutes + 1):
        await asyncio.sleep(max(0.0, ended - 60 * (minutes - minute) - time.monotonic()))
        sizes.append(service.resident_megabytes())
        files = await asyncio.to_thread(metric, service.port, "process_open_fds")
        print(
            f"minute {minute:3}: {sizes[-1]:.1f} MB resident, {files:.0f} open files, "
            f"{counted.characters:,} characters",
            flush=True,
        )
    await asyncio.gather(*running)
    return sizes, counted, wrong


if __name__ == "__main__":
    main()
