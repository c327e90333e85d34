"""The one limit on what the requests of all clients make the server hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OverloadedError
from app.middleware.memory_budget import SMALL, Lease, MemoryBudget
from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected
from tests.waiting import wait_until

MIB = 1 << 20


def lease_of(budget: MemoryBudget, client: str) -> Lease:
    lease = Lease(budget)
    lease.client = client
    return lease


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2 * MIB), st.booleans()), max_size=40))
def test_what_is_leased_is_never_more_than_the_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    budget = MemoryBudget(4 * MIB)
    leases = [lease_of(budget, f"client {index % 3}") for index in range(6)]
    for index, size, released in steps:
        before = budget.leased
        try:
            leases[index].add(size)
        except OverloadedError:
            assert budget.leased == before
        assert 0 <= budget.leased <= 4 * MIB
        if released:
            leases[index].release()
    for lease in leases:
        lease.release()
    assert budget.leased == 0
    lease_of(budget, "another").add(3 * MIB)


def test_one_client_leaves_a_quarter_to_the_others() -> None:
    budget = MemoryBudget(4 * MIB)
    lease_of(budget, "first").add(3 * MIB)
    with pytest.raises(OverloadedError, match=r"the limit of 3\.0 MiB per client"):
        lease_of(budget, "first").add(MIB)
    lease_of(budget, "second").add(MIB)
    with pytest.raises(OverloadedError, match=r"needs up to 1\.0 MiB, because of other requests;"):
        lease_of(budget, "third").add(MIB)


def test_small_requests_do_not_count() -> None:
    budget = MemoryBudget(4 * MIB)
    lease_of(budget, "first").add(3 * MIB)
    lease_of(budget, "second").add(MIB)
    small = lease_of(budget, "first")
    small.add(SMALL)
    with pytest.raises(OverloadedError):
        small.add(1)


@pytest.fixture(scope="module")
def narrow(tiny_path: Path) -> Iterator[RunningServer]:
    """A server with a small budget and long texts."""
    with running_server(tiny_path, memory_mb="4", max_prime="100000", stall_seconds="20") as server:
        yield server


def request_of(path: str, body: dict[str, Any], **headers: str) -> bytes:
    data = json.dumps(body).encode()
    headers = {"Host": "x", "Content-Length": str(len(data)), **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + data


ENDLESS = {"length": 100_000, "stream": True}
LARGE: dict[str, dict[str, Any]] = {
    "/generate": {"length": 20_000, "logprobs": 3},
    "/score": {"text": "ab " * 6000, "logprobs": 4},
    "/cells": {"text": "ab " * 6000, "cells": [{"layer": 0, "cell": 1}] * 40},
    "/v1/completions": {"prompt": ["a"] * 3, "n": 2, "max_tokens": 20_000},
}


def test_clients_that_do_not_read_keep_out_large_requests_but_not_small_ones(
    narrow: RunningServer,
) -> None:
    with narrow.client() as client, ExitStack() as silent:
        while narrow.gauge("charstream_memory_leased_bytes") < 2 * MIB:
            silent.enter_context(connected(narrow, request_of("/generate", ENDLESS)))
            wait_until(lambda: narrow.gauge("charstream_memory_leased_bytes") > 0)
        for path, body in LARGE.items():
            refused = client.post(path, json=body)
            assert refused.status_code == 503, path
            assert refused.headers["Retry-After"] == "2"
            assert "overloaded" in refused.text
        assert client.post("/generate", json={"length": 200}).status_code == 200
        assert client.post("/score", json={"text": "ab"}).status_code == 200
    wait_until(lambda: narrow.gauge("charstream_memory_leased_bytes") == 0)
    with narrow.client() as client:
        assert client.post("/generate", json={"length": 5000}).status_code == 200


@pytest.mark.parametrize("chunked", [True, False])
def test_bodies_that_arrive_slowly_are_leased(narrow: RunningServer, chunked: bool) -> None:
    size = 200_000
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    start = b"%x\r\n" % size if chunked else b""
    sent = head + b"\r\n\r\n" + start + b" " * (size - 1000)
    with ExitStack() as held:
        connections = [held.enter_context(connected(narrow, sent)) for _ in range(12)]
        refused = all_received(connections[-1])
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"overloaded"' in refused
        with narrow.client() as client:
            assert client.post("/generate", json={"length": 1}).status_code == 200
    wait_until(lambda: narrow.gauge("charstream_memory_leased_bytes") == 0)
