"""The memory of requests that wait: for a slot, or for their clients to read."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.server import RunningServer, running_server
from tests.sockets import connected
from tests.waiting import wait_until

REQUESTS = 40
LARGE = 1_100_000  # bytes
LENGTH = 290_000  # characters


@pytest.fixture(scope="module")
def slow_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes seconds for a text, so that the others wait until all have arrived."""
    path = tmp_path_factory.mktemp("checkpoint") / "slow.safetensors"
    save_checkpoint(make_checkpoint(hidden_size=512), path)
    return path


def request(path: str, padding: int = 0, **fields: object) -> bytes:
    body = json.dumps(fields) + " " * padding
    head = f"POST {path} HTTP/1.1\r\nHost: charstream\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def wait_for(server: RunningServer, texts: int) -> None:
    wait_until(lambda: server.gauge("charstream_model_streams") >= texts)


@pytest.mark.parametrize(
    "sent",
    [
        request("/generate", LARGE, length=LENGTH),
        request("/generate", LARGE, length=LENGTH, stream=True),
        request("/generate", length=LENGTH, prime="\u0436" * (LARGE // 2), unknown="skip"),
        request("/v1/completions", max_tokens=LENGTH, user="x" * LARGE),
        request("/v1/completions", max_tokens=LENGTH, user="x" * LARGE, stream=True),
    ],
    ids=["body", "body of a stream", "prime", "ignored field", "ignored field of a stream"],
)
def test_they_keep_only_what_they_need(slow_path: Path, sent: bytes) -> None:
    limits = {"max_streams": "1", "max_queue": str(REQUESTS), "max_length": str(LENGTH)}
    limits |= {"max_prime": "600000", "memory_mb": "2000"}
    with running_server(slow_path, **limits) as server, ExitStack() as closing:
        before = server.gauge("process_resident_memory_bytes")
        for number in range(1, REQUESTS + 1):
            closing.enter_context(connected(server, sent, receive_buffer=4096))
            wait_for(server, number)
        grown = server.gauge("process_resident_memory_bytes") - before
        assert grown < REQUESTS * LARGE * 2 / 3, f"{grown / 1e6:.0f} MB"
