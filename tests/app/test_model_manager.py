"""Reload the checkpoint while requests run."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import ReloadError
from app.main import create_app
from app.model_manager import ModelManager
from app.settings import Settings
from model.cells.catalogue import TrackedCell
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_cells, save_checkpoint
from tests.app.engine.tiny_engine import until
from tests.conftest import make_checkpoint
from tests.events import parse_events, text_of
from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected
from tests.waiting import wait_until

OPERATOR = {"Authorization": "Bearer operator"}
PARAMS: dict[str, Any] = {"prime": "abc", "length": 200, "seed": 5}
FINISHED = "the replaced model has finished its generations"


@pytest.fixture(scope="module")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "tiny.safetensors"
    save_checkpoint(make_checkpoint(seed=1, hidden_size=24), path)
    return path


@pytest.fixture(scope="module")
def same_size_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Checkpoints that differ from the tiny one in their weights only."""
    folder = tmp_path_factory.mktemp("same_size")
    for seed in (2, 3, 4):
        save_checkpoint(make_checkpoint(seed=seed), folder / f"{seed}.safetensors")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def served_path(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(tiny_path, tmp_path_factory.mktemp("served") / "model.safetensors"))


@pytest.fixture(scope="module")
def running(served_path: Path) -> Iterator[RunningServer]:
    with running_server(
        served_path, admin_keys="operator", receive_seconds="60", max_length="10000000"
    ) as server:
        yield server


@pytest.fixture
def client(running: RunningServer, tiny_path: Path, served_path: Path) -> Iterator[httpx.Client]:
    """A client of a server with the tiny checkpoint."""
    with running.client() as client:
        assert reload(client, served_path, tiny_path).status_code == 200
        yield client


def reload(
    client: httpx.Client, served: Path, new: Path, retry_seconds: float = 10
) -> httpx.Response:
    """Replace the served checkpoint and reload. Retry while too many replaced models run."""
    shutil.copy(new, served.with_suffix(".new"))
    served.with_suffix(".new").replace(served)
    deadline = time.monotonic() + retry_seconds
    while True:
        response = client.post("/reload", headers=OPERATOR)
        if "replaced models" not in response.text or time.monotonic() > deadline:
            return response
        time.sleep(0.05)


def wait_for_end(running: RunningServer, lines: int) -> None:
    """Wait until the log has, after its first lines, the end of a replaced model."""
    wait_until(lambda: any(FINISHED in line for line in running.lines[lines:]), 10)


def test_after_a_reload_every_endpoint_uses_the_new_model(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    old = client.post("/generate", json=PARAMS).json()
    new_hash = load_checkpoint(other_path).hash
    response = reload(client, served_path, other_path)
    assert response.json() == {"changed": True, "model": {"name": "model", "hash": new_hash}}
    info = client.get("/info").json()
    assert (info["hash"], info["hidden_size"]) == (new_hash, 24)
    assert f'hash="{new_hash}"' in client.get("/metrics").text
    assert old["model"]["hash"] not in client.get("/metrics").text
    new = client.post("/generate", json=PARAMS).json()
    assert new["model"]["hash"] == new_hash
    assert new["text"] != old["text"]
    assert new["usage"]["cached_characters"] == 0, "the new model has its own cache"
    assert (
        client.post("/generate", json=PARAMS | {"model": old["model"]["hash"]}).status_code == 409
    )
    reloaded_again = client.post("/reload", headers=OPERATOR).json()
    assert reloaded_again["changed"] is False


def test_a_reload_finds_a_new_catalogue_of_cells_for_the_same_model(
    client: httpx.Client, served_path: Path, tiny_path: Path, tmp_path: Path
) -> None:
    described = Path(shutil.copy(tiny_path, tmp_path))
    save_cells(described, [TrackedCell("quotes", 1, 31, -0.5)])
    before = client.get("/info").json()
    assert reload(client, served_path, described).json()["changed"] is True
    cells = [{"property": "quotes", "layer": 1, "cell": 31, "correlation": -0.5}]
    assert client.get("/info").json() == before | {"cells": cells}


def test_a_stream_finishes_on_the_model_on_which_it_began(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    params = PARAMS | {"length": 20_000}
    whole = client.post("/generate", json=params).json()["text"]
    with client.stream("GET", "/generate", params=params) as stream, running.client() as second:
        lines = stream.iter_lines()
        first = next(lines)
        assert reload(second, served_path, other_path).json()["changed"] is True
        events = list(parse_events([first, *lines]))
    assert text_of(events) == whole
    assert events[-1].name == "done"
    running.log(FINISHED)


def test_no_request_fails_during_reloads(
    client: httpx.Client,
    running: RunningServer,
    served_path: Path,
    tiny_path: Path,
    other_path: Path,
) -> None:
    texts = {}
    for path in (other_path, tiny_path):
        reload(client, served_path, path)
        response = client.post("/generate", json=PARAMS).json()
        texts[response["model"]["hash"]] = response["text"]

    def send_request(other: httpx.Client) -> None:
        response = other.post("/generate", json=PARAMS)
        assert response.status_code == 200
        body = response.json()
        assert body["text"] == texts[body["model"]["hash"]], "all of it from one model"

    with running.traffic(4, send_request):
        for path in (other_path, tiny_path, other_path):
            assert reload(client, served_path, path).json()["changed"] is True


def test_a_request_that_arrives_during_a_reload_uses_the_new_model(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    """The old model does not wait for it."""
    body = json.dumps(PARAMS).encode()
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    lines = len(running.lines)
    with connected(running, head % len(body) + body[:9]) as slow:
        client.get("/health/live")  # by now, the head has been read
        assert reload(client, served_path, other_path).json()["changed"] is True
        wait_for_end(running, lines)
        slow.sendall(body[9:])
        head_and_body = all_received(slow)
    assert head_and_body.startswith(b"HTTP/1.1 200")
    assert load_checkpoint(other_path).hash.encode() in head_and_body


def test_ten_reloads_in_a_row_are_not_refused(
    client: httpx.Client, running: RunningServer, served_path: Path, same_size_paths: list[Path]
) -> None:
    """Short streams run meanwhile, and each comes from one model and is complete."""
    params = PARAMS | {"length": 300}
    texts = {}
    for path in same_size_paths:
        reload(client, served_path, path)
        done = client.post("/generate", json=params).json()
        texts[done["model"]["hash"]] = done["text"]

    def read_stream(other: httpx.Client) -> None:
        response = other.get("/generate", params=params)
        events = list(parse_events(response.text.split("\n")))
        assert events[-1].name == "done"
        assert text_of(events) == texts[response.headers["Charstream-Model"]]

    with running.traffic(3, read_stream):
        for number in range(10):
            response = reload(client, served_path, same_size_paths[number % 3])
            assert response.json()["changed"] is True, response.text


def test_replaced_models_may_finish_in_any_order(
    client: httpx.Client, running: RunningServer, served_path: Path, same_size_paths: list[Path]
) -> None:
    """A model that could not be told from another one of its size stayed for ever."""
    endless = {"length": "10000000"}
    with running.client() as reader:
        streams = []
        for path in same_size_paths:
            request = reader.build_request("GET", "/generate", params=endless)
            streams.append(reader.send(request, stream=True).iter_raw())
            next(streams[-1])
            assert reload(client, served_path, path).status_code == 200
        while streams:
            lines = len(running.lines)
            streams.pop()  # the newest one; an iterator closes its connection when it is deleted
            wait_for_end(running, lines)


def test_a_damaged_checkpoint_is_not_loaded_and_the_response_says_why(
    client: httpx.Client, running: RunningServer, served_path: Path
) -> None:
    before = client.get("/info").json()
    served_path.write_bytes(served_path.read_bytes()[:-10])
    response = client.post("/reload", headers=OPERATOR)
    assert response.status_code == 409
    assert response.json()["code"] == "not_reloaded"
    assert f"{served_path}: not a readable .safetensors file" in response.json()["detail"]
    assert client.get("/info").json() == before
    assert client.post("/generate", json=PARAMS).status_code == 200
    served_path.unlink()
    assert "no such file" in client.post("/reload", headers=OPERATOR).json()["detail"]
    assert client.get("/health/ready").status_code == 200


def test_sighup_reloads_too(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    failed = len([line for line in running.lines if "reload failed" in line])
    served_path.write_bytes(b"nothing")
    running.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while len([line for line in running.lines if "reload failed" in line]) == failed:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shutil.copy(other_path, served_path)
    new_hash = load_checkpoint(other_path).hash
    while (
        client.get("/info").json()["hash"] != new_hash
    ):  # refused while too many replaced models run
        assert time.monotonic() < deadline
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)


def test_the_number_of_replaced_models_is_limited(
    client: httpx.Client,
    running: RunningServer,
    served_path: Path,
    tiny_path: Path,
    other_path: Path,
) -> None:
    endless = {"length": "10000000"}
    with running.client() as reader:
        streams = []  # an iterator closes its connection when it is deleted
        responses = []
        for path, retry_seconds in (
            (other_path, 10),
            (tiny_path, 10),
            (other_path, 10),
            (tiny_path, 0),
        ):
            request = reader.build_request("GET", "/generate", params=endless)
            streams.append(reader.send(request, stream=True).iter_raw())
            next(streams[-1])
            responses.append(reload(client, served_path, path, retry_seconds))
        streams.clear()
    assert [response.status_code for response in responses] == [200, 200, 200, 409]
    assert "replaced models" in responses[-1].json()["detail"]
    assert client.post("/generate", json=PARAMS).status_code == 200
    assert reload(client, served_path, other_path).status_code == 200, "after the streams ended"


async def test_a_draining_service_does_not_reload(tiny_path: Path) -> None:
    app = create_app(Settings(checkpoint=tiny_path, threads=1))
    async with app.router.lifespan_context(app):
        app.state.model_manager.drain(60)
        with pytest.raises(ReloadError, match="shutting down"):
            await app.state.model_manager.reload()


async def test_a_drain_does_not_wait_for_a_reload(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the checkpoint may hang."""
    app = create_app(Settings(checkpoint=tiny_path, threads=1))
    manager: ModelManager = app.state.model_manager
    began, goes_on = threading.Event(), threading.Event()

    def load(path: Path) -> Checkpoint:
        began.set()
        goes_on.wait(20)
        return load_checkpoint(path)

    monkeypatch.setattr("app.model_loader.load_checkpoint", load)
    async with app.router.lifespan_context(app):
        reloading = asyncio.create_task(manager.reload())
        await asyncio.to_thread(began.wait, 20)
        manager.drain(60)
        with pytest.raises(ReloadError, match="shutting down"):
            await asyncio.wait_for(reloading, 10)
        assert manager.loads
        goes_on.set()
        await until(lambda: not manager.loads)


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_replaced_model_is_freed_without_a_garbage_collection(
    tiny_path: Path, other_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(tiny_path, tmp_path / "model.safetensors"))
    app = create_app(Settings(checkpoint=path, threads=1, receive_seconds=0.1))
    manager: ModelManager = app.state.model_manager

    async def send_requests() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path, body in (
                ("/generate", {"length": 20}),
                ("/generate", {"length": 20, "stream": True}),
                ("/generate", {"length": 10**9}),
                ("/generate", {"prime": "Ж"}),
                ("/score", {"text": "abc"}),
                ("/v1/completions", {"prompt": "abc", "stream": True}),
                ("/v1/completions", {"prompt": "abc", "max_tokens": 10**9}),
            ):
                response = await client.post(path, json=body)
                assert response.status_code in (200, 400, 422)

    async def replace() -> list[weakref.ref[object]]:
        service = manager.models.default
        await send_requests()
        shutil.copy(other_path, path)
        assert await manager.reload()
        return [weakref.ref(part) for part in (service.engine, service.decoder, service.checkpoint)]

    async with app.router.lifespan_context(app):
        refs = await replace()
        await until(lambda: all(ref() is None for ref in refs))
