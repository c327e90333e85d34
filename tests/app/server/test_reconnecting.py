"""What a client that reconnects meets while the server shuts down."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.server import RunningServer, running_server
from tests.sockets import ENDLESS, all_received, connected
from tests.waiting import wait_until

LONG = {"length": 1_000_000, "seed": 7}
RESUME = b"GET /generate?length=1000000 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 7-%d\r\n\r\n"


def resume(server: RunningServer, characters: int) -> bytes:
    with connected(server, RESUME % characters) as client:
        return all_received(client)


def test_a_stream_that_is_resumed_during_the_drain_is_closed_without_a_response(
    tiny_path: Path,
) -> None:
    """EventSource would give up at a 503. Clients that use POST read Retry-After."""
    with (
        running_server(tiny_path, drain_seconds="600", max_length="1000000") as ending,
        ending.client() as client,
        connected(ending, ENDLESS, receive_buffer=4096),
    ):
        wait_until(lambda: ending.gauge("charstream_streams_paused"))
        ending.process.terminate()
        ending.log("shutting down; running streams have")
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
    with running_server(tiny_path, drain_seconds="0.5", max_length="1000000") as ending:
        with connected(ending, RESUME % 999_999) as client:
            wait_until(lambda: ending.gauge("charstream_streams_active"))
            ending.process.terminate()
            assert all_received(client) == b""
        assert ending.process.wait(20) == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_a_client_that_reconnects_when_its_stream_is_cut_is_refused(
    tiny_path: Path, signals: int
) -> None:
    settings = {"drain_seconds": "0.5" if signals == 1 else "600", "max_length": "1000000"}
    with (
        running_server(tiny_path, **settings) as ending,
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
