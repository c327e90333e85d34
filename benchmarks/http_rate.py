"""Rate of the service over HTTP: a server process, and a client that reads every event."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks.traffic import open_stream

_TOKEN = b'data: {"token": "'  # once per event, because quotes inside a token are escaped
_START_SECONDS = 60

OTHER_LENGTH = 100_000  # characters of the streams beside which a first character is measured


@dataclass(frozen=True)
class RunningService:
    """A running server of this project."""

    port: int
    pid: int
    start_seconds: float  # from the start of the process until it is ready


@contextmanager
def running_service(checkpoint: Path, **settings: object) -> Iterator[RunningService]:
    """Start the service and wait until it is ready.

    Args:
        checkpoint: the model.
        settings: settings by name, in lower case and without the prefix. By default, the port is a
            free one.

    Raises:
        RuntimeError: if the service is not ready within a minute.
    """
    settings = {"checkpoint": checkpoint, "port": _free_port()} | settings
    environment = {f"CHARSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    port = int(str(settings["port"]))
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env=os.environ | environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(port, began + _START_SECONDS)
        yield RunningService(port, process.pid, time.monotonic() - began)
    finally:
        process.terminate()
        process.wait()


def http_rate(
    port: int, streams: int, characters: int, models: Sequence[str | None] = (None,)
) -> float:
    """Return the characters per second of all streams together, as the client receives them.

    Args:
        port: port of the server.
        streams: number of streams.
        characters: length of each stream.
        models: models to use in turn. None is the default model.
    """
    return asyncio.run(_http_rate(port, streams, characters, models))


def first_character_seconds(port: int, streams: int, prime: str, tries: int) -> list[float]:
    """Return sorted times from a request to its first character, while other streams run."""
    return asyncio.run(_first_character_seconds(port, streams, prime, tries))


async def _http_rate(
    port: int, streams: int, characters: int, models: Sequence[str | None]
) -> float:
    began = time.perf_counter()
    counts = await asyncio.gather(
        *(_read_stream(port, characters, n, models[n % len(models)]) for n in range(streams))
    )
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


async def _read_stream(port: int, characters: int, seed: int, model: str | None = None) -> int:
    query = "" if model is None else f"&model={quote(model)}"
    count, tail = 0, b""
    async with open_stream(port, characters, seed, query=query) as (_, reader):
        while data := await reader.read(1 << 16):
            count += (tail + data).count(_TOKEN)
            tail = (tail + data)[-len(_TOKEN) + 1 :]
    return count


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(port: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready"):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RuntimeError("the service did not become ready")
