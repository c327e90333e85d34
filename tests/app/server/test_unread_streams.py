"""Clients that ask for large streams and do not read them lose their connections."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected
from tests.waiting import wait_until

PRIME = 2_000_000  # characters: four streams are within the limit of 64 MiB, and five are not
LENGTH = 1_000_000


def request(prompt: str) -> bytes:
    body = json.dumps({"prompt": prompt, "max_tokens": LENGTH, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: charstream\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + body


def cut_off(server: RunningServer) -> float:
    return server.gauge("charstream_connections_ended_total", reason="stalled")


def test_the_client_that_has_not_read_for_longest_is_cut_off(tiny_path: Path) -> None:
    server = running_server(tiny_path, max_prime=str(PRIME), max_length=str(LENGTH))
    with server as running, ExitStack() as closing:
        with running.client() as reading:
            sent = request(reading.get("/info").json()["vocabulary"][1] * PRIME)
        clients = []
        for _ in range(4):
            clients.append(closing.enter_context(connected(running, sent, 4096)))
            wait_until(lambda: running.gauge("charstream_streams_paused") == len(clients), 60)
        time.sleep(1)
        assert cut_off(running) == 0
        clients.append(closing.enter_context(connected(running, sent, 4096)))
        wait_until(lambda: cut_off(running), 60)
        time.sleep(1)
        assert cut_off(running) == 1
        assert b"[DONE]" not in all_received(clients[0])
        for client in clients[1:]:
            assert client.recv(1)
        with running.client() as another:
            assert len(another.post("/generate", json={"length": 9}).json()["text"]) == 9
    assert not any("Traceback" in line for line in running.lines)
