"""A server of this project in a process of its own, with the settings of a measurement."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.server import free_port

_START_SECONDS = 60


@dataclass
class RunningService:
    """A running server of this project."""

    port: int
    pid: int
    start_seconds: float  # from the start of the process until it is ready
    peak_megabytes: float = 0.0  # of resident memory (Linux), known after the block


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
    settings = {"checkpoint": checkpoint, "port": free_port()} | settings
    environment = {f"CHARSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    port = int(str(settings["port"]))
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env=os.environ | environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_ready(port, began + _START_SECONDS)
        service = RunningService(port, process.pid, time.monotonic() - began)
        yield service
        service.peak_megabytes = _peak_megabytes(process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(port: int, deadline: float) -> None:
    """Wait until a server is ready.

    Raises:
        RuntimeError: if it is not ready at the deadline, a time of the monotonic clock.
    """
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready"):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RuntimeError("the service did not become ready")


def _peak_megabytes(pid: int) -> float:
    """Return the peak of a process' resident memory. It is 0 if the process has ended."""
    status = Path(f"/proc/{pid}/status")
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else "", re.M)
    return int(peak[1]) / 1024 if peak else 0.0
