"""Fault injection: measures what clients lose when others misbehave or the server is killed.

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
import urllib.request
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from benchmarks.hostile_requests import REQUESTS, hostile, longest_wait
from benchmarks.outcome import Outcome, print_table
from benchmarks.running_service import RunningService, running_service
from benchmarks.traffic import (
    TEXT_LENGTH,
    Counts,
    common_prefix,
    measure_rate,
    metric,
    open_stream,
    read,
    resident_megabytes,
    wait_until_idle,
)
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

_LONG = 100_000  # characters, the maximum of a request


def main() -> None:
    """Print a table. Exit with 1 if a fault was not survived within the limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    shipped = Path("checkpoints/anna.safetensors")
    parser.add_argument("--checkpoint", type=Path, default=shipped, help="model to serve")
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of each measured rate")
    parser.add_argument("--rounds", type=int, default=10_000, help="rounds of connect and drop")
    parser.add_argument("--only", default="", help="run only the faults whose name contains this")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    for name, fault in _faults(options).items():
        if options.only in name:
            outcomes.append(asyncio.run(fault))
            print(f"{outcomes[-1].fault}: {outcomes[-1].result}", file=sys.stderr)
        else:
            fault.close()
    print_table(outcomes)
    sys.exit(not all(outcome.passed for outcome in outcomes))


def _faults(options: argparse.Namespace) -> dict[str, Coroutine[None, None, Outcome]]:
    """Return the faults by name."""
    return {
        "crowd": crowd(options.checkpoint, options.seconds),
        "never reads": never_reads(options.checkpoint, options.seconds),
        "dropped at once": dropped_at_once(options.checkpoint),
        "connect and drop": connect_and_drop(options.checkpoint, options.rounds),
        "flood": flood(options.checkpoint),
        "slow-loris": slow_loris(options.checkpoint),
        "kill": killed(options.checkpoint),
        "reloads": reloads(options.checkpoint),
    } | {f"hostile: {name}": hostile(options.checkpoint, name) for name in REQUESTS}


async def crowd(checkpoint: Path, seconds: float) -> Outcome:
    """Many more clients than slots and positions in the queue. They retry after Retry-After."""
    with running_service(checkpoint, max_streams=8, max_queue=32) as service:
        best, _ = await measure_rate(service.port, 8, seconds)
        rate, counts = await measure_rate(service.port, 200, seconds)
    odd = {status: n for status, n in counts.statuses.items() if status not in (200, 503)}
    return Outcome(
        "200 clients, 8 slots, 32 positions in the queue",
        f"{counts.statuses.get(200, 0)} responses 200, {counts.statuses.get(503, 0)} responses "
        f"503, {counts.without_retry_after} of them without Retry-After, others: {odd or 'none'}; "
        f"{rate:,.0f} characters/s, {rate / best:.0%} of {best:,.0f} with 8 clients",
        not odd and not counts.without_retry_after and rate > 0.9 * best,
        service.peak_megabytes,
    )


async def never_reads(checkpoint: Path, seconds: float) -> Outcome:
    """One client requests the longest text and reads none of it."""
    with running_service(checkpoint, max_streams=9) as service:
        alone, _ = await measure_rate(service.port, 8, seconds)
        before = resident_megabytes(service.port)
        async with open_stream(service.port, _LONG, 1, query="&logprobs=10"):
            deadline = time.monotonic() + 60
            while not metric(service.port, "charstream_streams_paused"):
                if time.monotonic() > deadline:
                    raise RuntimeError("the stream of a client that does not read was not paused")
                await asyncio.sleep(0.1)
            beside, _ = await measure_rate(service.port, 8, seconds)
            wait = await longest_wait(service.port, asyncio.sleep(2))
        after = resident_megabytes(service.port)
    return Outcome(
        "1 client that never reads and 8 that do",
        f"the others received {beside:,.0f} characters/s, {beside / alone:.0%} of {alone:,.0f} "
        f"without it; resident memory {before:.0f} to {after:.0f} MB",
        beside > 0.9 * alone and after < before + 30,
        service.peak_megabytes,
        wait,
    )


async def dropped_at_once(checkpoint: Path) -> Outcome:
    """Clients of 32 streams of the maximum length that all disconnect at the same time."""
    with running_service(checkpoint, max_streams=32) as service:
        async with AsyncExitStack() as streams:
            for seed in range(32):
                _, reader = await streams.enter_async_context(
                    open_stream(service.port, _LONG, seed)
                )
                await reader.readline()
            active = metric(service.port, "charstream_streams_active")
        began = time.monotonic()
        while metric(service.port, "charstream_streams_active"):
            if time.monotonic() > began + 10:
                raise RuntimeError("the slots were not freed")
            await asyncio.sleep(0)  # lets asyncio close the connections
        freed = time.monotonic() - began
    return Outcome(
        "32 streams of 100,000 characters dropped at the same time",
        f"{active:.0f} slots taken, all free {freed * 1000:.0f} ms later",
        active == 32,
        service.peak_megabytes,
    )


async def connect_and_drop(checkpoint: Path, rounds: int) -> Outcome:
    """Clients that send a request and disconnect at any point."""
    with running_service(checkpoint, max_streams=16) as service:
        await _drop(service, 500)
        before, files = resident_megabytes(service.port), metric(service.port, "process_open_fds")
        await _drop(service, rounds)
        await wait_until_idle(service.port)
        after, left = resident_megabytes(service.port), metric(service.port, "process_open_fds")
        response = await read(service.port, TEXT_LENGTH, 1)
    return Outcome(
        f"{rounds:,} rounds of connect, request and drop",
        f"resident memory {before:.1f} to {after:.1f} MB, open files {files:.0f} to {left:.0f}",
        after < before + 20 and left <= files + 2,
        service.peak_megabytes,
        lost=TEXT_LENGTH - len(response.text),
    )


async def flood(checkpoint: Path) -> Outcome:
    """More idle connections than the server accepts, while streams run."""
    with running_service(
        checkpoint, max_streams=8, max_connections=500, receive_seconds=2
    ) as service:
        whole = (await read(service.port, 5000, 1)).text
        async with AsyncExitStack() as idle:
            streams = [asyncio.create_task(read(service.port, 5000, 1)) for _ in range(8)]
            for _ in range(2000):
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                idle.callback(writer.transport.abort)
            texts = [(await stream).text for stream in streams]
            await asyncio.sleep(2.5)
            after = await read(service.port, TEXT_LENGTH, 1)
    lost = sum(len(whole) - common_prefix(whole, text) for text in texts)
    return Outcome(
        "2,000 idle connections, of which 500 are accepted, while 8 streams run",
        f"the streams ended; after the idle timeout, the response to a new request is "
        f"{after.status}",
        after.text == whole[:TEXT_LENGTH],
        service.peak_megabytes,
        lost=lost,
    )


async def slow_loris(checkpoint: Path) -> Outcome:
    """Clients that send their request headers one by one, slowly."""
    with running_service(checkpoint, max_streams=8, receive_seconds=2) as service:
        alone, _ = await measure_rate(service.port, 8, 4)
        ended = 0

        async def drip() -> None:
            nonlocal ended
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(b"GET /generate HTTP/1.1\r\n")
            response = asyncio.ensure_future(reader.read())
            while not response.done():
                writer.write(b"X-A: b\r\n")
                await asyncio.wait([response], timeout=0.5)
            await asyncio.gather(response, return_exceptions=True)
            ended += 1
            writer.transport.abort()

        dripping = [asyncio.create_task(drip()) for _ in range(300)]
        beside, _ = await measure_rate(service.port, 8, 4)
        await asyncio.sleep(2)
        for task in dripping:
            task.cancel()
    return Outcome(
        "300 clients that send their requests slowly (slow-loris)",
        f"{ended} of them were disconnected; 8 streams kept {beside / alone:.0%} of their rate",
        ended == 300,
        service.peak_megabytes,
    )


async def killed(checkpoint: Path) -> Outcome:
    """Kill -9 in the middle of a stream. The client resumes it at the next server."""
    with running_service(checkpoint, max_streams=8) as first:
        whole = (await read(first.port, 20_000, 1)).text
        counts = Counts()
        streams = [asyncio.create_task(read(first.port, 20_000, 1, counts)) for _ in range(8)]
        while counts.characters < 8 * 20_000 // 4:
            await asyncio.sleep(0.001)
        os.kill(first.pid, signal.SIGKILL)
        parts = [await stream for stream in streams]
    with running_service(checkpoint, max_streams=8, port=first.port) as second:
        rests = [await read(second.port, 20_000, 1, last_id=part.last_id) for part in parts]
    broken = sum(not part.done for part in parts)
    texts = [part.resumable_text + rest.text for part, rest in zip(parts, rests, strict=True)]
    return Outcome(
        "kill -9 during 8 streams, and a restart",
        f"{broken} streams broke off and were resumed with Last-Event-ID",
        broken > 0,
        second.peak_megabytes,
        lost=sum(len(whole) - common_prefix(whole, text) for text in texts),
    )


async def reloads(checkpoint: Path) -> Outcome:
    """Reload two models alternately while 8 clients send requests."""
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served.safetensors"
        other = Path(folder) / "other.safetensors"
        shutil.copy(checkpoint, served)
        _save_another(load_checkpoint(checkpoint), other)
        with running_service(served, max_streams=8, admin_keys="k", receive_seconds=0.5) as service:
            counts, stop, done, lost = Counts(), asyncio.Event(), 0, 0

            async def client(seed: int) -> None:
                nonlocal lost
                while not stop.is_set():
                    response = await read(service.port, TEXT_LENGTH, seed, counts)
                    lost += TEXT_LENGTH - len(response.text)

            clients = [asyncio.create_task(client(seed)) for seed in range(8)]
            for number in range(10):
                shutil.copy((other, checkpoint)[number % 2], served.with_suffix(".new"))
                served.with_suffix(".new").replace(served)
                done += await asyncio.to_thread(_reload, service.port)
                await asyncio.sleep(0.8)
            stop.set()
            await asyncio.gather(*clients)
    return Outcome(
        "10 reloads of two alternating models, while 8 clients send requests",
        f"{done} models loaded, responses by status: {counts.statuses}",
        done == 10 and set(counts.statuses) == {200},
        service.peak_megabytes,
        lost=lost,
    )


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
                async with open_stream(service.port, _LONG, step) as (_, reader):
                    await reader.read(100)

    await asyncio.gather(*(client(number) for number in range(4)))


def _save_another(checkpoint: Checkpoint, path: Path) -> None:
    weights = {name: np.roll(array, 1, 0) for name, array in checkpoint.weights.items()}
    save_checkpoint(Checkpoint(checkpoint.config, checkpoint.vocabulary, weights), path)


def _reload(port: int) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/reload", b"", {"Authorization": "Bearer k"}
    )
    with urllib.request.urlopen(request) as response:
        return b'"changed":true' in response.read()


if __name__ == "__main__":
    main()
