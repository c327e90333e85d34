"""Clients that keep the server waiting, or come in crowds, harm nobody else."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server import RunningServer, running_server
from tests.sockets import ENDLESS, all_received, connected
from tests.waiting import wait_until

CONNECTIONS = 40
TAKEN = ("charstream_streams_active", "charstream_streams_paused")


@pytest.fixture(scope="module")
def bounded(tiny_path: Path) -> Iterator[RunningServer]:
    with running_server(
        tiny_path,
        max_connections=str(CONNECTIONS),
        receive_seconds="1",
        stall_seconds="1",
        max_streams="4",
        max_queue="4",
        max_prime="100",
        max_length="1000000",
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left(bounded: RunningServer) -> Iterator[None]:
    """After each test the server serves, and holds nothing of it."""
    yield
    with bounded.client() as client:
        wait_until(lambda: not any(map(bounded.gauge, TAKEN)), 10)
        assert len(client.post("/generate", json={"length": 20}).json()["text"]) == 20
    assert not any("Traceback" in line for line in bounded.lines)


def answer_of(received: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), head


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /generate HTTP/1.1\r\nHost: charst",
        b"POST /generate HTTP/1.1\r\nHost: charstream\r\nContent-Length: 10\r\n\r\n{",
    ],
)
def test_a_request_that_does_not_arrive_is_told_so_and_ended(
    bounded: RunningServer, beginning: bytes
) -> None:
    with connected(bounded, beginning) as client:
        status, body, head = answer_of(all_received(client))
    assert (status, body["code"]) == (408, "request_timeout")
    assert b"Connection: close" in head


def test_a_request_that_drips_has_no_longer(bounded: RunningServer) -> None:
    with connected(bounded, b"GET / HTTP/1.1\r\n") as client:
        began = time.monotonic()
        try:
            while time.monotonic() < began + 15:
                client.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() < began + 10


def test_a_kept_connection_is_bounded_at_its_second_request_too(bounded: RunningServer) -> None:
    with connected(bounded, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /health/live HT")
        assert answer_of(all_received(client))[0] == 408


def test_a_connection_on_which_nothing_comes_is_ended_without_a_word(
    bounded: RunningServer,
) -> None:
    with connected(bounded) as client:
        assert all_received(client) == b""


def test_one_connection_too_many_is_told_when_to_come_back(bounded: RunningServer) -> None:
    with ExitStack() as flood:
        clients = [flood.enter_context(connected(bounded)) for _ in range(3 * CONNECTIONS)]
        status, body, head = answer_of(all_received(clients[-1]))
        assert (status, body["code"]) == (503, "too_many_connections")
        assert b"Retry-After: 1" in head
        for client in clients:
            all_received(client)  # the others have sent nothing, and are ended in time
    assert bounded.gauge("charstream_connections_ended_total", reason="too_many_connections") > 0


def test_a_flood_does_not_break_streams(bounded: RunningServer) -> None:
    ask = {"length": 5000, "seed": 3}
    with bounded.client() as client:
        whole = client.post("/generate", json=ask).json()["text"]
    with (
        bounded.client() as client,
        ExitStack() as flood,
        client.stream("POST", "/generate", json={**ask, "stream": True}) as stream,
    ):
        lines = stream.iter_lines()
        first = next(lines)
        for _ in range(3 * CONNECTIONS):
            flood.enter_context(connected(bounded, b"GET / "))
        tokens = [json.loads(x[6:]) for x in [first, *lines] if x.startswith("data: ")]
    assert "".join(token["token"] for token in tokens[:-1]) == whole
    time.sleep(1)  # the flood's last connections are given up


def test_a_reader_that_stalls_is_cut_off(bounded: RunningServer) -> None:
    before = bounded.gauge("charstream_connections_ended_total", reason="stalled")
    with connected(bounded, ENDLESS, receive_buffer=4096):
        wait_until(
            lambda: bounded.gauge("charstream_connections_ended_total", reason="stalled") > before
        )


def test_half_closed_sockets_count_as_gone(bounded: RunningServer) -> None:
    with ExitStack() as closing:
        for _ in range(4):
            client = closing.enter_context(connected(bounded, ENDLESS))
            assert client.recv(100)
            client.shutdown(socket.SHUT_WR)
        with bounded.client() as another:  # while they are still open on this side
            assert len(another.post("/generate", json={"length": 9}).json()["text"]) == 9


def test_half_closed_sockets_that_do_not_read_are_closed(bounded: RunningServer) -> None:
    with ExitStack() as closing:
        for _ in range(CONNECTIONS - 2):
            page = b"GET / HTTP/1.1\r\nHost: charstream\r\n\r\n"
            client = closing.enter_context(connected(bounded, 12 * page, receive_buffer=4096))
            time.sleep(0.02)
            client.shutdown(socket.SHUT_WR)
        time.sleep(3)  # thrice `stall_seconds`
        for _ in range(CONNECTIONS - 2):  # there is room for as many again
            closing.enter_context(connected(bounded))
        with bounded.client() as another:
            assert another.get("/health/ready").status_code == 200


def test_hundreds_that_connect_ask_and_drop_leave_nothing_behind(bounded: RunningServer) -> None:
    def drop(count: int) -> None:
        for number in range(count):
            with connected(bounded, ENDLESS[: len(ENDLESS) - (number % 2) * 9]) as client:
                if number % 10 == 0:
                    client.recv(50)

    def rounds(count: int) -> float:
        threads = [threading.Thread(target=drop, args=(count // 2,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return bounded.gauge("process_resident_memory_bytes")

    settled = rounds(100)
    assert rounds(500) < settled + 30e6
