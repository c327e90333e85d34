"""The shutdown of the server: draining, its end, and what a client that reconnects meets."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.events import parse_events, text_of
from tests.server import RunningServer, running_server
from tests.sockets import ENDLESS, all_received, connected
from tests.waiting import wait_until

LONG = {"length": 1_000_000, "seed": 7}
RESUME = b"GET /generate?length=1000000 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 7-%d\r\n\r\n"


@contextmanager
def ending_server(checkpoint: Path, **settings: str) -> Iterator[RunningServer]:
    """A server that the block ends with a signal. It exits with 0.

    A block whose connections stay open waits for the exit itself.
    """
    with running_server(checkpoint, **{"max_length": "5000000", **settings}) as ending:
        yield ending
        assert ending.process.wait(20) == 0
        assert not any("Traceback" in line for line in ending.lines)


def terminate(ending: RunningServer) -> None:
    ending.process.terminate()
    ending.log("shutting down; running streams have")


def test_sigterm_lets_streams_end_and_exits_with_0(tiny_path: Path) -> None:
    with ending_server(tiny_path, drain_seconds="20") as ending, ending.client() as client:
        params = {"length": 4000, "seed": 1}
        whole = client.post("/generate", json=params).json()["text"]
        with client.stream("GET", "/generate", params=params) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("id: 1-1")
            ending.process.terminate()
            events = list(parse_events(["id: 1-1", *lines]))
        assert text_of(events) == whole
        assert events[-1].name == "done"


def test_streams_that_outlast_the_drain_time_are_closed_to_be_resumed(tiny_path: Path) -> None:
    with ending_server(tiny_path, drain_seconds="0.3") as ending, ending.client() as client:
        with client.stream("GET", "/generate", params={"length": 5_000_000}) as response:
            lines = response.iter_lines()
            received = [next(lines)]
            ending.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                received.extend(lines)
        events = list(parse_events(received))
        assert len(events) > 100
        assert {event.name for event in events} == {"message"}, "neither error nor done"
        assert not [line for line in ending.lines if " ERROR " in line]


def test_a_second_sigterm_closes_the_streams_at_once(tiny_path: Path) -> None:
    with (
        ending_server(tiny_path, drain_seconds="600") as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
        connected(ending, b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        with client.stream("GET", "/generate", params={"length": 1_000_000}) as response:
            lines = response.iter_lines()
            next(lines)
            terminate(ending)
            assert ending.process.poll() is None, "it waits for its streams"
            ending.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(lines)
        assert ending.process.wait(20) == 0


def test_a_draining_server_is_live_and_not_ready(tiny_path: Path) -> None:
    def statuses(client: httpx.Client) -> list[int]:
        paths = ("/health/live", "/health/ready", "/generate?length=1", "/metrics")
        return [client.get(path).status_code for path in paths]

    with (
        ending_server(tiny_path, drain_seconds="600") as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        assert statuses(client) == [200, 200, 200, 200]
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        terminate(ending)
        with ending.client() as another:
            assert statuses(another) == [200, 503, 503, 200]
            assert another.get("/generate").json()["code"] == "draining"
        ending.process.terminate()
        assert ending.process.wait(20) == 0


def test_clients_that_do_not_read_do_not_delay_the_shutdown(tiny_path: Path) -> None:
    with (
        ending_server(tiny_path, drain_seconds="1.5") as ending,
        connected(ending, ENDLESS, receive_buffer=1 << 16) as lagging,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused") == 2)
        ending.process.terminate()
        received = all_received(lagging)
        assert received.endswith(b"\n\n\r\n"), "a client that reads again gets whole events"
        assert b"event: " not in received, "neither error nor done"
        assert ending.process.wait(20) == 0


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


def resume(server: RunningServer, characters: int) -> bytes:
    with connected(server, RESUME % characters) as client:
        return all_received(client)


def test_a_stream_that_is_resumed_during_the_drain_is_closed_without_a_response(
    tiny_path: Path,
) -> None:
    """EventSource would give up at a 503. Clients that use POST read Retry-After."""
    with (
        ending_server(tiny_path, drain_seconds="600") as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        terminate(ending)
        assert resume(ending, 5) == b""
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            client.get("/generate", params=LONG, headers={"Last-Event-ID": "7-5"})
        headers = {"Last-Event-ID": "7-5"}
        refused = client.post("/generate", json={**LONG, "stream": True}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert client.get("/generate", headers={"Last-Event-ID": "7"}).status_code == 422
        ending.process.terminate()
        assert ending.process.wait(20) == 0
        assert all("broken=True" in line for line in ending.log("status=0"))


def test_a_resumed_stream_that_the_drain_ends_before_its_first_character_is_closed(
    tiny_path: Path,
) -> None:
    with (
        ending_server(tiny_path, drain_seconds="0.5") as ending,
        connected(ending, RESUME % 999_999) as client,
    ):
        wait_until(lambda: ending.gauge("charstream_streams_active"))
        ending.process.terminate()
        assert all_received(client) == b""


@pytest.mark.parametrize("signals", [1, 2])
def test_a_client_that_reconnects_when_its_stream_is_cut_is_refused(
    tiny_path: Path, signals: int
) -> None:
    seconds = "0.5" if signals == 1 else "600"
    with (
        ending_server(tiny_path, drain_seconds=seconds) as ending,
        connected(ending, ENDLESS) as cut,
        connected(ending, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") as idle,
    ):
        wait_until(lambda: idle.recv(1 << 16, socket.MSG_PEEK).endswith(b'{"status":"ready"}'))
        idle.recv(1 << 16)
        for _ in range(signals):
            ending.process.terminate()
            time.sleep(0.2)
        all_received(cut)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(cut.getpeername()).close()
        assert idle.recv(1 << 16) == b""
        assert ending.process.wait(20) == 0
