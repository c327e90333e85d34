"""A server in its own process, started as a user starts it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class RunningServer:
    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)  # log lines so far

    def log(self, part: str, seconds: float = 10) -> list[str]:
        """Return the log lines that contain a string. Wait for the first one."""
        deadline = time.monotonic() + seconds
        while not (found := [line for line in self.lines if part in line]):
            assert time.monotonic() < deadline, f"{part!r} is not in {self.lines}"
            time.sleep(0.01)
        return found

    def follow(self) -> None:
        """Read the log. A full pipe would block the server."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def gauge(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values that have these labels, and perhaps others."""
        with self.client() as client:
            text = client.get("/metrics").text
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return sum(
            s.value for s in samples if s.name == name and labels.items() <= s.labels.items()
        )

    def client(self, timeout: float = 30) -> httpx.Client:
        # Without `verify`, httpx does not read the certificates, which takes longer than a request.
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, verify=False)

    @contextmanager
    def traffic(self, clients: int, work: Callable[[httpx.Client], object]) -> Iterator[None]:
        """Let clients repeat some work during the block. Each must complete it at least once."""
        ending = threading.Event()

        def repeat() -> int:
            count = 0
            with self.client() as client:
                while not ending.is_set():
                    work(client)
                    count += 1
            return count

        with ThreadPoolExecutor(clients) as pool:
            counts = [pool.submit(repeat) for _ in range(clients)]
            try:
                yield
            finally:
                ending.set()
            assert all(count.result() > 0 for count in counts)

    def stop(self, timeout: float = 20) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def start_process(checkpoint: Path, **settings: str) -> subprocess.Popen[str]:
    """Start a server with these settings, and with one thread unless they say otherwise."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CHARSTREAM_")}
    environment["CHARSTREAM_CHECKPOINT"] = str(checkpoint)
    environment["CHARSTREAM_THREADS"] = "1"
    environment |= {f"CHARSTREAM_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "app"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# Below the ports that the system gives to clients: one of them could take a port before the server
# does. Each test process begins at another one.
_PORTS = range(20_000, 30_000)
_numbers = itertools.count(os.getpid() * 50)


def free_port() -> int:
    """Return a port that no process uses."""
    for number in _numbers:
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@contextmanager
def running_server(checkpoint: Path, **settings: str) -> Iterator[RunningServer]:
    """Run a server until the end of the block. Enter the block when it is ready."""
    settings = {"port": str(free_port()), **settings}
    process = start_process(checkpoint, **settings)
    server = RunningServer(process, f"http://127.0.0.1:{settings['port']}")
    reader = threading.Thread(target=server.follow)
    reader.start()
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _wait_until_ready(server: RunningServer, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server did not start: {server.lines}")
        try:
            with server.client() as client:
                if client.get("/health/ready").is_success:
                    return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not become ready")


class RestartingServer:
    """A server whose process ends and is followed by another on the same port."""

    def __init__(self, checkpoint: Path, **settings: str) -> None:
        self._checkpoint, self._settings = checkpoint, {"port": str(free_port()), **settings}
        self._stack = ExitStack()
        self.current = self._start()

    def restart(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, start the next process. Returns the exit status."""
        self.current.process.send_signal(number)
        status = self.current.process.wait(20)
        self._stack.close()
        self.current = self._start()
        return status

    def close(self) -> None:
        self._stack.close()

    def _start(self) -> RunningServer:
        return self._stack.enter_context(running_server(self._checkpoint, **self._settings))
