"""Faults, tried for real on this machine, and what the service lost by them.

python -m benchmarks.faults
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.http_rate import RunningService, running_service
from benchmarks.traffic import Answer, Counted, asking, metric, read
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

_LONG = 100_000  # characters, the most that a request may ask for
_TEXT = 1000


@dataclass(frozen=True)
class Outcome:
    """Of one fault."""

    fault: str
    result: str
    survived: bool
    lost: int = 0  # characters


def main() -> None:
    """Prints a table, and exits with 1 if something was lost or did not survive."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each rate that is measured")
    parser.add_argument("--rounds", type=int, default=10_000, help="of connect and drop")
    parser.add_argument("--only", default="", help="part of the name of the faults to try")
    options = parser.parse_args()
    faults: dict[str, Callable[[], Coroutine[None, None, Outcome]]] = {
        "crowd": lambda: crowd(options.checkpoint, options.seconds),
        "never reads": lambda: never_reads(options.checkpoint, options.seconds),
        "dropped at once": lambda: dropped_at_once(options.checkpoint),
        "connect and drop": lambda: connect_and_drop(options.checkpoint, options.rounds),
        "flood": lambda: flood(options.checkpoint),
        "slow-loris": lambda: slow_loris(options.checkpoint),
        "kill": lambda: killed(options.checkpoint),
        "reloads": lambda: reloads(options.checkpoint),
    }
    outcomes: list[Outcome] = []
    for name, fault in faults.items():
        if options.only in name:
            outcomes.append(asyncio.run(fault()))
            print(f"{outcomes[-1].fault}: {outcomes[-1].result}", file=sys.stderr)
    table = Table("fault", "result", "survived", "characters lost")
    for outcome in outcomes:
        survived = "yes" if outcome.survived else "NO"
        table.add_row(outcome.fault, outcome.result, survived, str(outcome.lost))
    Console(width=140).print(table)
    if not all(outcome.survived and outcome.lost == 0 for outcome in outcomes):
        sys.exit(1)


async def crowd(checkpoint: Path, seconds: float) -> Outcome:
    """Many more clients than slots and places in the queue; they come back when told to."""
    with running_service(checkpoint, 8, max_queue="32") as service:
        best, _ = await _rate(service.port, 8, seconds)
        rate, counted = await _rate(service.port, 200, seconds)
    odd = {status: n for status, n in counted.statuses.items() if status not in (200, 503)}
    return Outcome(
        "200 clients, 8 slots, 32 places in the queue",
        f"{counted.statuses.get(200, 0)} answers 200, {counted.statuses.get(503, 0)} answers 503, "
        f"{counted.without_retry_after} of them without Retry-After, others: {odd or 'none'}; "
        f"{rate:,.0f} characters/s, {rate / best:.0%} of {best:,.0f} with 8 clients",
        not odd and not counted.without_retry_after and rate > 0.9 * best,
    )


async def never_reads(checkpoint: Path, seconds: float) -> Outcome:
    """One client asks for the longest text and reads nothing of it."""
    with running_service(checkpoint, 9) as service:
        alone, _ = await _rate(service.port, 8, seconds)
        before = service.resident_megabytes()
        async with asking(service.port, _LONG, 1, query="&logprobs=10"):
            deadline = time.monotonic() + 60
            while not metric(service.port, "charstream_streams_paused"):
                if time.monotonic() > deadline:
                    raise RuntimeError("the reader that does not read was not paused")
                await asyncio.sleep(0.1)
            beside, _ = await _rate(service.port, 8, seconds)
        after = service.resident_megabytes()
    return Outcome(
        "a client that never reads, beside 8 that do",
        f"the others had {beside:,.0f} characters/s beside it, {beside / alone:.0%} of "
        f"{alone:,.0f}; resident {before:.0f} to {after:.0f} MB",
        beside > 0.9 * alone and after < before + 30,
    )


async def dropped_at_once(checkpoint: Path) -> Outcome:
    """32 streams of the greatest length, all of whose clients go away in one moment."""
    with running_service(checkpoint, 32) as service:
        async with AsyncExitStack() as streams:
            for seed in range(32):
                _, reader = await streams.enter_async_context(asking(service.port, _LONG, seed))
                await reader.readline()
            active = metric(service.port, "charstream_streams_active")
        began = time.monotonic()
        while metric(service.port, "charstream_streams_active"):
            if time.monotonic() > began + 10:
                raise RuntimeError("the slots were not freed")
            await asyncio.sleep(0)  # in which the connections are closed
        freed = time.monotonic() - began
    return Outcome(
        "32 streams of 100,000 characters dropped at once",
        f"{active:.0f} slots taken, all free {freed * 1000:.0f} ms later",
        active == 32,
    )


async def connect_and_drop(checkpoint: Path, rounds: int) -> Outcome:
    """Clients that ask and go away, at whatever point."""
    with running_service(checkpoint, 16) as service:
        await _drop(service, 500)
        before, files = service.resident_megabytes(), metric(service.port, "process_open_fds")
        await _drop(service, rounds)
        await _until_idle(service.port)
        after, left = service.resident_megabytes(), metric(service.port, "process_open_fds")
        answer = await read(service.port, _TEXT, 1)
    return Outcome(
        f"{rounds:,} rounds of connect, ask and drop",
        f"resident {before:.1f} to {after:.1f} MB, open files {files:.0f} to {left:.0f}",
        after < before + 20 and left <= files + 2,
        _TEXT - len(answer.text),
    )


async def flood(checkpoint: Path) -> Outcome:
    """More idle connections than the server takes, while streams run."""
    with running_service(checkpoint, 8, max_connections="500", receive_seconds="2") as service:
        whole = (await read(service.port, 5000, 1)).text
        async with AsyncExitStack() as idle:
            streams = [asyncio.create_task(read(service.port, 5000, 1)) for _ in range(8)]
            for _ in range(2000):
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                idle.callback(writer.transport.abort)
            texts = [(await stream).text for stream in streams]
            await asyncio.sleep(2.5)
            after = await read(service.port, _TEXT, 1)
    lost = sum(len(whole) - _shared(whole, text) for text in texts)
    return Outcome(
        "2,000 idle connections, of which 500 are taken, beside 8 streams",
        f"the streams came whole; after the idle ones' time a new one is answered {after.status}",
        after.text == whole[:_TEXT],
        lost,
    )


async def slow_loris(checkpoint: Path) -> Outcome:
    """Requests that drip in byte by byte."""
    with running_service(checkpoint, 8, receive_seconds="2") as service:
        alone, _ = await _rate(service.port, 8, 4)
        ended = 0

        async def drip() -> None:
            nonlocal ended
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(b"GET /generate HTTP/1.1\r\n")
            answered = asyncio.ensure_future(reader.read())
            while not answered.done():
                writer.write(b"X-A: b\r\n")
                await asyncio.wait([answered], timeout=0.5)
            await asyncio.gather(answered, return_exceptions=True)
            ended += 1
            writer.transport.abort()

        dripping = [asyncio.create_task(drip()) for _ in range(300)]
        beside, _ = await _rate(service.port, 8, 4)
        await asyncio.sleep(2)
        for task in dripping:
            task.cancel()
    return Outcome(
        "300 clients whose requests drip in (slow-loris)",
        f"{ended} of them ended; 8 streams had {beside / alone:.0%} of their rate without them",
        ended == 300,
    )


async def killed(checkpoint: Path) -> Outcome:
    """Kill -9 in the middle of a stream; the client goes on at the server that is started next."""
    with running_service(checkpoint, 8) as first:
        whole = (await read(first.port, 20_000, 1)).text
        counted = Counted()
        streams = [asyncio.create_task(read(first.port, 20_000, 1, counted)) for _ in range(8)]
        while counted.characters < 8 * 20_000 // 4:
            await asyncio.sleep(0.001)
        os.kill(first.pid, signal.SIGKILL)
        parts = [await stream for stream in streams]
    with running_service(checkpoint, 8, port=first.port) as second:
        rests = [await _go_on(second.port, part) for part in parts]
    broken = sum(not part.done for part in parts)
    texts = [_up_to(part) + rest.text for part, rest in zip(parts, rests, strict=True)]
    return Outcome(
        "kill -9 beneath 8 streams, and a restart",
        f"{broken} streams broke off and went on by Last-Event-ID",
        broken > 0,
        sum(len(whole) - _shared(whole, text) for text in texts),
    )


async def reloads(checkpoint: Path) -> Outcome:
    """Two models in turn while 8 clients keep asking."""
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served.safetensors"
        other = Path(folder) / "other.safetensors"
        shutil.copy(checkpoint, served)
        _save_another(load_checkpoint(checkpoint), other)
        with running_service(served, 8, admin_keys="k", receive_seconds="0.5") as service:
            counted, stop, done = Counted(), asyncio.Event(), 0

            async def client(seed: int) -> None:
                while not stop.is_set():
                    answer = await read(service.port, _TEXT, seed, counted)
                    counted.without_retry_after += len(answer.text) != _TEXT

            clients = [asyncio.create_task(client(seed)) for seed in range(8)]
            for number in range(10):
                shutil.copy((other, checkpoint)[number % 2], served.with_suffix(".new"))
                served.with_suffix(".new").replace(served)
                done += await _reload(service.port)
                await asyncio.sleep(0.8)
            stop.set()
            await asyncio.gather(*clients)
    return Outcome(
        "10 reloads of two models in turn, beside 8 clients",
        f"{done} models loaded, answers by status: {counted.statuses}",
        done == 10 and set(counted.statuses) == {200},
        counted.without_retry_after,
    )


async def _rate(port: int, clients: int, seconds: float) -> tuple[float, Counted]:
    """Characters per second of clients that ask anew at once, or when told to come back.

    The first moment, in which all of them connect at once, counts as well.
    """
    counted, began = Counted(), time.monotonic()
    ended = began + seconds

    async def client(number: int) -> None:
        while time.monotonic() < ended:
            answer = await read(port, _TEXT, number, counted)
            if answer.retry_after is not None:
                await asyncio.sleep(min(answer.retry_after, max(0, ended - time.monotonic())))

    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    await asyncio.sleep(seconds)
    rate = counted.characters / (time.monotonic() - began)
    await asyncio.gather(*tasks)
    return rate, counted


async def _drop(service: RunningService, rounds: int) -> None:
    async def client(number: int) -> None:
        for step in range(number, rounds, 4):
            if step % 3:
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                writer.write(
                    b"GET /generate?length=1000 HTTP/1.1\r\nHost: x\r\n\r\n"[: 20 + step % 40]
                )
                await asyncio.sleep(0.002 * (step % 2))
                writer.transport.abort()
            else:
                async with asking(service.port, _LONG, step) as (_, reader):
                    await reader.read(100)

    await asyncio.gather(*(client(number) for number in range(4)))


async def _until_idle(port: int) -> None:
    deadline = time.monotonic() + 10
    while metric(port, "charstream_streams_active") and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def _go_on(port: int, part: Answer) -> Answer:
    return await read(port, 20_000, 1, last_id=part.last_id)


def _up_to(part: Answer) -> str:
    """The characters of a broken stream up to the last event whose id is whole."""
    return part.text[: int(part.last_id.partition("-")[2] or 0)]


def _shared(whole: str, text: str) -> int:
    """Characters that are as they should be, from the beginning on."""
    pairs = zip(whole, text, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(whole), len(text)))


def _save_another(checkpoint: Checkpoint, path: Path) -> None:
    weights = {name: tensor.roll(1, 0) for name, tensor in checkpoint.weights.items()}
    save_checkpoint(Checkpoint(checkpoint.config, checkpoint.vocabulary, weights), path)


async def _reload(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nConnection: close\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    return b'"changed":true' in answer


if __name__ == "__main__":
    main()
