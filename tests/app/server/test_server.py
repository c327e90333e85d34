"""The end of a server's life."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.errors import ReloadError
from app.main import create_app
from app.settings import Settings
from tests.server import running_server
from tests.sockets import ENDLESS, all_received, connected


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_signal_closes_the_streams_at_once(tiny_path: Path) -> None:
    settings = {"drain_seconds": "600", "max_length": "1000000"}
    with (
        running_server(tiny_path, **settings) as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
        connected(ending, b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        with client.stream("GET", "/generate", params={"length": 1_000_000}) as response:
            lines = response.iter_lines()
            next(lines)
            ending.process.terminate()
            ending.log("shutting down; running streams have")
            assert ending.process.poll() is None, "it waits for its streams"
            ending.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(lines)
        assert ending.process.wait(20) == 0
        assert not any("Traceback" in line for line in ending.lines)


def test_arguments_are_refused_and_help_says_what_sets_it() -> None:
    def run(argument: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", argument], capture_output=True, text=True, timeout=60
        )

    assert "CHARSTREAM_PORT" in run("--help").stdout
    refused = run("--port=1")
    assert refused.returncode == 2
    assert "unrecognized arguments: --port=1" in refused.stderr


def test_a_taken_port_is_told_in_one_line_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"CHARSTREAM_PORT": str(port), "CHARSTREAM_CHECKPOINT": "not-looked-at"}
        run = subprocess.run(
            [sys.executable, "-m", "app"], env=os.environ | settings, capture_output=True, text=True
        )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith(
        f"charstream: CHARSTREAM_HOST, CHARSTREAM_PORT: cannot listen on 127.0.0.1:{port}: "
    )


def test_while_streams_end_it_is_live_and_not_ready(tiny_path: Path) -> None:
    def statuses(client: httpx.Client) -> list[int]:
        paths = ("/health/live", "/health/ready", "/generate?length=1", "/metrics")
        return [client.get(path).status_code for path in paths]

    settings = {"drain_seconds": "600", "max_length": "1000000"}
    with (
        running_server(tiny_path, **settings) as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        assert statuses(client) == [200, 200, 200, 200]
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        ending.process.terminate()
        ending.log("shutting down; running streams have")
        with ending.client() as another:
            assert statuses(another) == [200, 503, 503, 200]
            assert another.get("/generate").json()["code"] == "draining"
        ending.process.terminate()
        assert ending.process.wait(20) == 0


def test_while_streams_end_nothing_is_reloaded(tiny_path: Path) -> None:
    async def scenario() -> None:
        app = create_app(Settings(checkpoint=tiny_path, threads=1))
        async with app.router.lifespan_context(app):
            app.state.model_manager.drain(60)
            with pytest.raises(ReloadError, match="shutting down"):
                await app.state.model_manager.reload()

    asyncio.run(scenario())


def test_clients_that_do_not_read_hold_up_no_shutdown(tiny_path: Path) -> None:
    with (
        running_server(tiny_path, drain_seconds="1.5", max_length="1000000") as ending,
        connected(ending, ENDLESS, receive_buffer=1 << 16) as lagging,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused") == 2)
        ending.process.terminate()
        received = all_received(lagging)
        assert received.endswith(b"\n\n\r\n"), "one that reads again gets whole events"
        assert b"event: " not in received, "neither error nor done"
        assert ending.process.wait(20) == 0
        assert not any("Traceback" in line for line in ending.lines)
