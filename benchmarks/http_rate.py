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

_TOKEN = b'data: {"token": "'  # once per event, because quotes inside a token are escaped
_START_SECONDS = 60

OTHER_LENGTH = 100_000  # characters of the streams beside which a first character is measured


@dataclass(frozen=True)
class RunningService:
    """A running server of this project."""

    port: int
    pid: int
    start_seconds: float  # from the start of the process until it is ready

    def resident_megabytes(self) -> float:
        """Return the resident memory of the server's process. Linux only."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the system does not report the memory of a process")


@contextmanager
def running_service(
    checkpoint: Path, streams: int, port: int | None = None, **settings: str
) -> Iterator[RunningService]:
    """Start the service and wait until it is ready.

    Args:
        checkpoint: the model.
        streams: number of slots.
        port: port to listen on. By default, a free one is chosen.
        settings: further settings by name, in lower case and without the prefix.

    Raises:
        RuntimeError: if the service is not ready within a minute.
    """
    port = port or _free_port()
    environment = os.environ | {
        "CHARSTREAM_CHECKPOINT": str(checkpoint),
        "CHARSTREAM_PORT": str(port),
        "CHARSTREAM_MAX_STREAMS": str(streams),
        **{f"CHARSTREAM_{name.upper()}": value for name, value in settings.items()},
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env=environment, stderr=subprocess.DEVNULL
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
        reader, writer = await _open(port, 1, number, beginning + prime[len(beginning) :])
        await reader.readuntil(_TOKEN)
        seconds.append(time.perf_counter() - began)
        writer.close()
        await asyncio.sleep(0.02)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return sorted(seconds)


async def _read_stream(port: int, characters: int, seed: int, model: str | None = None) -> int:
    reader, writer = await _open(port, characters, seed, "\n", model)
    count, tail = 0, b""
    try:
        while data := await reader.read(1 << 16):
            count += (tail + data).count(_TOKEN)
            tail = (tail + data)[-len(_TOKEN) + 1 :]
    finally:
        writer.close()
    return count


async def _open(
    port: int, characters: int, seed: int, prime: str, model: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/generate?length={characters}&seed={seed}&prime={quote(prime)}"
    if model is not None:
        path += f"&model={quote(model)}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return reader, writer


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
