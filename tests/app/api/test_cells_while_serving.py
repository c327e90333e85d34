"""POST /cells while the model is replaced and while the server shuts down."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.server import RunningServer, running_server
from tests.waiting import wait_until

TEXT = "(a b)\nB ab 'c'\n" * 6000  # reading it takes a few tenths of a second
FIELDS = {"text": TEXT, "find": "brackets", "top": 2}
FOUND = {"text": TEXT, "cells": [{"layer": 1, "cell": 3}]}
OPERATOR = {"Authorization": "Bearer operator"}


def wait_until_active(server: RunningServer, response: Future[httpx.Response]) -> None:
    wait_until(lambda: response.done() or server.gauge("charstream_streams_active"), 10)


def post(server: RunningServer, fields: dict[str, Any]) -> httpx.Response:
    with server.client() as client:
        return client.post("/cells", json=fields)


@pytest.mark.parametrize("fields", [FIELDS, FOUND])
def test_a_reload_and_a_shutdown_let_a_search_end(
    fields: dict[str, Any], tiny_path: Path, tmp_path: Path
) -> None:
    served = Path(shutil.copy(tiny_path, tmp_path / "model.safetensors"))
    with running_server(served, admin_keys="operator", drain_seconds="20") as ending:
        expected = post(ending, fields).json()
        with ThreadPoolExecutor() as pool, ending.client() as client:
            before = pool.submit(post, ending, fields)
            wait_until_active(ending, before)
            save_checkpoint(make_checkpoint(seed=1, hidden_size=24), served)
            assert client.post("/reload", headers=OPERATOR).json()["changed"] is True
            assert before.result().json() == expected
            new = post(ending, fields).json()
            assert new["model"] != expected["model"]
            assert new["cells"] != expected["cells"]
            during = pool.submit(post, ending, fields)
            wait_until_active(ending, during)
            ending.process.terminate()
            assert during.result().json() == new
        assert ending.process.wait(20) == 0


def test_a_search_that_outlasts_the_drain_time_is_unavailable(tiny_path: Path) -> None:
    settings = {"drain_seconds": "0.05", "max_prime": "1000000"}
    with running_server(tiny_path, **settings) as ending, ThreadPoolExecutor() as pool:
        response = pool.submit(post, ending, {**FIELDS, "text": TEXT * 4})
        wait_until_active(ending, response)
        ending.process.terminate()
        assert response.result().status_code == 503
        assert response.result().json()["code"] == "draining"
        assert ending.process.wait(20) == 0
