"""The shutdown of the server: draining, and its end."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import httpx
import pytest

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.events import parse_events, text_of
from tests.server import running_server
from tests.sockets import ENDLESS, all_received, connected
from tests.waiting import wait_until


def test_sigterm_lets_streams_end_and_exits_with_0(tiny_path: Path) -> None:
    with running_server(tiny_path, drain_seconds="20") as ending, ending.client() as client:
        params = {"length": 4000, "seed": 1}
        whole = client.post("/generate", json=params).json()["text"]
        with client.stream("GET", "/generate", params=params) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("id: 1-1")
            ending.process.terminate()
            events = list(parse_events(["id: 1-1", *lines]))
        assert text_of(events) == whole
        assert events[-1].name == "done"
        assert ending.process.wait(20) == 0


def test_streams_that_outlast_the_drain_time_are_closed_to_be_resumed(tiny_path: Path) -> None:
    settings = {"drain_seconds": "0.3", "max_length": "5000000"}
    with running_server(tiny_path, **settings) as ending, ending.client() as client:
        with client.stream("GET", "/generate", params={"length": 5_000_000}) as response:
            lines = response.iter_lines()
            received = [next(lines)]
            ending.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                received.extend(lines)
        events = list(parse_events(received))
        assert len(events) > 100
        assert {event.name for event in events} == {"message"}, "neither error nor done"
        assert ending.process.wait(20) == 0
        assert not [line for line in ending.lines if " ERROR " in line]


def test_completions_that_outlast_the_drain_time_get_an_error(tiny_path: Path) -> None:
    settings = {"drain_seconds": "0.3", "max_length": "5000000"}
    params = {"max_tokens": 5_000_000, "stream": True}
    with running_server(tiny_path, **settings) as ending, ending.client() as client:
        with client.stream("POST", "/v1/completions", json=params) as response:
            lines = response.iter_lines()
            next(lines)
            ending.process.terminate()
            data = [line.removeprefix("data: ") for line in lines if line]
        assert json.loads(data[-1])["error"]["code"] == "draining"
        assert ending.process.wait(20) == 0


def test_a_second_sigterm_closes_the_streams_at_once(tiny_path: Path) -> None:
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


def test_a_draining_server_is_live_and_not_ready(tiny_path: Path) -> None:
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


def test_clients_that_do_not_read_do_not_delay_the_shutdown(tiny_path: Path) -> None:
    with (
        running_server(tiny_path, drain_seconds="1.5", max_length="1000000") as ending,
        connected(ending, ENDLESS, receive_buffer=1 << 16) as lagging,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused") == 2)
        ending.process.terminate()
        received = all_received(lagging)
        assert received.endswith(b"\n\n\r\n"), "a client that reads again gets whole events"
        assert b"event: " not in received, "neither error nor done"
        assert ending.process.wait(20) == 0
        assert not any("Traceback" in line for line in ending.lines)


def test_signals_and_reloads_do_not_disturb_the_shutdown(tmp_path: Path) -> None:
    """SIGHUP ended the process late in the shutdown, and a reload could abort it."""
    paths = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for seed, path in enumerate(paths):
        save_checkpoint(make_checkpoint(seed, hidden_size=256), path)
    served = Path(shutil.copy(paths[0], tmp_path / "served.safetensors"))
    with running_server(served, drain_seconds="0.5") as ending:
        for number in range(3):
            shutil.copy(paths[number % 2], tmp_path / "new")
            (tmp_path / "new").replace(served)
            ending.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        ending.process.terminate()
        deadline = time.monotonic() + 20
        while ending.process.poll() is None:
            assert time.monotonic() < deadline
            ending.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        assert ending.process.wait() == 0
    assert not any("Traceback" in line or "terminate" in line for line in ending.lines)
