"""Reload a folder of models while all of them are used."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.model_manager import ModelManager
from app.settings import Settings
from tests.app.engine.tiny_engine import until
from tests.app.several_models import OPERATOR, make_folder, names, save_model
from tests.events import parse_events, text_of
from tests.server import RunningServer, running_server

PARAMS: dict[str, Any] = {"prime": "abc", "length": 300, "seed": 5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def running(served: Path) -> Iterator[RunningServer]:
    make_folder(served)
    with running_server(served, admin_keys="operator", max_length="10000000") as server:
        yield server


@pytest.fixture
def client(running: RunningServer, served: Path) -> Iterator[httpx.Client]:
    """A client of a server that has the models "ada" and "bob"."""
    for path in served.iterdir():
        path.unlink()
    make_folder(served)
    with running.client() as client:
        reload(client)
        yield client


def reload(client: httpx.Client) -> bool:
    """Reload, and return whether something changed. Retry while replaced models run."""
    deadline = time.monotonic() + 10
    while True:
        response = client.post("/reload", headers=OPERATOR)
        if response.status_code == 200:
            changed: bool = response.json()["changed"]
            return changed
        assert "replaced models" in response.text
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stream(client: httpx.Client, model: str) -> tuple[str, str]:
    """Stream a text to its end. Return the hash of the model and the text."""
    response = client.get("/generate", params=PARAMS | {"model": model})
    assert response.status_code == 200, response.text
    events = list(parse_events(response.text.split("\n")))
    assert events[-1].name == "done"
    return response.headers["Charstream-Model"], text_of(events)


def test_nothing_is_lost_while_models_are_changed_added_and_removed(
    client: httpx.Client, running: RunningServer, served: Path
) -> None:
    texts: dict[str, set[str]] = {}

    def stream_both(other: httpx.Client) -> None:
        for model in ("ada", "bob"):
            model_hash, text = stream(other, model)
            texts.setdefault(model_hash, set()).add(text)

    with running.traffic(4, stream_both):
        for seed in (7, 8):
            save_model(served, "bob", seed)
            assert reload(client)
            carl = save_model(served, "carl", 9)
            assert reload(client)
            assert names(client) == ["ada", "bob", "carl"]
            model_hash, text = stream(client, "carl")
            texts.setdefault(model_hash, set()).add(text)
            carl.unlink()
            assert reload(client)
            assert names(client) == ["ada", "bob"]
            assert client.post("/generate", json=PARAMS | {"model": "carl"}).status_code == 404
        stream(client, "bob")  # the newest one has been used
    assert not reload(client)
    assert all(len(each) == 1 for each in texts.values()), "each model has one text of a seed"
    assert len({text for each in texts.values() for text in each}) == len(texts)
    assert len(texts) >= 4, "ada, carl and two or three of bob"


def test_a_removed_model_finishes_its_texts(
    client: httpx.Client, running: RunningServer, served: Path
) -> None:
    request = PARAMS | {"length": 30_000, "model": "bob"}
    whole = client.post("/generate", json=request).json()["text"]
    with client.stream("GET", "/generate", params=request) as response, running.client() as second:
        lines = response.iter_lines()
        first = next(lines)
        (served / "bob.safetensors").unlink()
        assert reload(second)
        assert names(second) == ["ada"]
        other = second.post("/generate", json=PARAMS | {"model": "bob"})
        assert other.status_code == 409, "one model is left"
        assert "charstream_model_info" in second.get("/metrics").text
        events = list(parse_events([first, *lines]))
    assert text_of(events) == whole
    running.log("the replaced model has finished its generations")
    with running.client() as third:
        metrics = third.get("/metrics").text
    assert 'charstream_model_streams{model="bob"' not in metrics


def test_one_bad_file_keeps_all_models_as_they_are(
    client: httpx.Client, running: RunningServer, served: Path
) -> None:
    before = client.get("/models").json()
    save_model(served, "ada", 11)
    bad = served / "zoe.safetensors"
    bad.write_bytes(b"nothing")
    response = client.post("/reload", headers=OPERATOR)
    assert (response.status_code, response.json()["code"]) == (409, "not_reloaded")
    assert f"{bad}: not a readable .safetensors file" in response.json()["detail"]
    assert client.get("/models").json() == before
    assert running.gauge("charstream_reloads_total", result="failed") > 0
    bad.unlink()
    assert reload(client)
    assert client.get("/models").json() != before


def test_an_empty_folder_keeps_all_models(client: httpx.Client, served: Path) -> None:
    for path in served.iterdir():
        path.unlink()
    response = client.post("/reload", headers=OPERATOR)
    assert response.status_code == 409
    assert f"the folder {served} has no .safetensors files" in response.json()["detail"]
    assert names(client) == ["ada", "bob"]
    assert client.get("/health/ready").status_code == 200


def test_a_model_that_now_comes_first_is_the_default(client: httpx.Client, served: Path) -> None:
    save_model(served, "abe", 3)
    response = client.post("/reload", headers=OPERATOR)
    assert response.json()["model"]["name"] == "abe"
    assert client.post("/generate", json={"length": 1}).json()["model"]["name"] == "abe"


@pytest.mark.usefixtures("no_garbage_collection")
async def test_replaced_and_removed_models_are_freed_without_a_garbage_collection(
    folder: Path,
) -> None:
    app = create_app(Settings(checkpoint=(folder,), threads=1))
    manager: ModelManager = app.state.model_manager

    async def replace() -> list[weakref.ref[object]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for name in ("ada", "bob"):
                for body in ({"length": 20}, {"length": 20, "stream": True}):
                    response = await client.post("/generate", json={**body, "model": name})
                    assert response.status_code == 200
        save_model(folder, "ada", 4)
        (folder / "bob.safetensors").unlink()
        old = manager.models.services
        assert await manager.reload()
        parts = [(s.engine, s.decoder, s.checkpoint) for s in old]
        return [weakref.ref(part) for each in parts for part in each]

    async with app.router.lifespan_context(app):
        refs = await replace()
        await until(lambda: all(ref() is None for ref in refs))


def engine_threads() -> int:
    return sum(thread.name == "engine" for thread in threading.enumerate())


async def test_a_reload_that_fails_leaves_no_engine_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two new engines does not start."""
    app = create_app(Settings(checkpoint=(folder,), threads=1))
    manager: ModelManager = app.state.model_manager
    async with app.router.lifespan_context(app):
        before = engine_threads()
        for seed, name in enumerate(("ada", "bob"), 20):
            save_model(folder, name, seed)
        warm_up = "app.engine.worker.Worker._warm_up"
        calls = []

        def fail_at_second(worker: object) -> None:
            calls.append(worker)
            if len(calls) == 2:
                raise MemoryError("no memory")

        monkeypatch.setattr(warm_up, fail_at_second)
        models = manager.models
        with pytest.raises(Exception, match="no memory"):
            await manager.reload()
        assert manager.models is models
        await until(lambda: engine_threads() == before)
