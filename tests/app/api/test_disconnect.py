"""Clients that disconnect free the slots of their generations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from tests.app.api.generate_requests import PARAMS
from tests.server import RunningServer, running_server
from tests.waiting import wait_until


def test_clients_that_disconnect_free_their_slots(tiny_path: Path) -> None:
    endless = {"length": 1_000_000}
    with (
        running_server(tiny_path, max_streams="2", max_queue="0", max_length="1000000") as small,
        small.client() as client,
        ThreadPoolExecutor(2) as readers,
    ):
        for _ in range(3):
            leave = Event()
            reading = [Event(), Event()]
            for begun in reading:
                readers.submit(_read_until, small, endless, begun, leave)
            assert all(begun.wait(10) for begun in reading)
            *served, full = _responses_until(client, 503)
            if served:  # only a stream whose reader was starved may have freed its slot
                assert small.gauge("charstream_reader_pauses_total") > 0
            assert full.json()["code"] == "queue_full"
            assert int(full.headers["Retry-After"]) >= 1
            leave.set()
            _responses_until(client, 200)
        for _ in range(3):  # a reader of JSON that gives up
            with pytest.raises(httpx.ReadTimeout):
                client.post("/generate", json=endless, timeout=0.3)
        _responses_until(client, 200)


def _read_until(server: RunningServer, fields: dict[str, Any], begun: Event, leave: Event) -> None:
    with server.client() as client, client.stream("GET", "/generate", params=fields) as response:
        for _ in response.iter_raw():
            begun.set()
            if leave.is_set():
                return


def _responses_until(client: httpx.Client, status: int) -> list[httpx.Response]:
    responses = []

    def has_come() -> bool:
        responses.append(client.post("/generate", json=PARAMS))
        return responses[-1].status_code == status

    wait_until(has_come, 10)
    return responses
