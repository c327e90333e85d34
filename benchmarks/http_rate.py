"""The service over HTTP: a server in one process, a client that reads every event in another."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TOKEN = b'data: {"token": "'  # once in every event: quotes inside of a token are escaped
_START_SECONDS = 60


@contextmanager
def running_service(checkpoint: Path) -> Iterator[int]:
    """Starts the service; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = os.environ | {
        "CHARSTREAM_CHECKPOINT": str(checkpoint),
        "CHARSTREAM_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def http_rate(port: int, streams: int, characters: int) -> float:
    """Characters per second, all streams together, counted as the client has them."""
    return asyncio.run(_http_rate(port, streams, characters))


async def _http_rate(port: int, streams: int, characters: int) -> float:
    began = time.perf_counter()
    counts = await asyncio.gather(*(_read_stream(port, characters, n) for n in range(streams)))
    seconds = time.perf_counter() - began
    if counts != [characters] * streams:
        raise RuntimeError(f"streams of {characters} characters came as {counts}")
    return streams * characters / seconds


async def _read_stream(port: int, characters: int, seed: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/generate?length={characters}&seed={seed}&prime=%0A"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    count, tail = 0, b""
    while data := await reader.read(1 << 16):
        count += (tail + data).count(_TOKEN)
        tail = (tail + data)[-len(_TOKEN) + 1 :]
    writer.close()
    return count


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready"):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RuntimeError("the service did not become ready")
