"""Several models in one server: which one a request gets, and what each generates."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from tests.app.several_models import generated, make_folder, texts_alone
from tests.events import parse_events, text_of
from tests.server import RunningServer, running_server
from tests.sockets import connected
from tests.waiting import wait_until

NAMES = ["ada", "bob"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, Checkpoint]:
    return {name: load_checkpoint(folder / f"{name}.safetensors") for name in NAMES}


@pytest.fixture(scope="module")
def two(folder: Path) -> Iterator[RunningServer]:
    """A server with two models, and with fewer slots than the clients of a test."""
    with running_server(folder, max_streams="8", max_queue="64") as server:
        yield server


@pytest.fixture
def client(two: RunningServer) -> Iterator[httpx.Client]:
    with two.client() as client:
        yield client


def test_every_text_equals_the_one_that_its_model_generates_alone(
    two: RunningServer, folder: Path
) -> None:
    requests = [
        {"prime": "abc"[: seed % 4], "length": 150 + 40 * seed, "seed": seed, "stop": "ab"}
        for seed in range(12)
    ]
    alone = {name: texts_alone(folder / f"{name}.safetensors", requests) for name in NAMES}
    assert alone["ada"] != alone["bob"]
    with ThreadPoolExecutor(32) as pool, two.client() as shared:
        texts = {
            name: [pool.submit(generated, shared, **each, model=name) for each in requests]
            for name in NAMES
        }
        for name, futures in texts.items():
            assert [future.result() for future in futures] == alone[name]


def test_every_endpoint_uses_the_model_that_the_request_names(
    client: httpx.Client, loaded: dict[str, Checkpoint]
) -> None:
    for name, checkpoint in loaded.items():
        model = {"name": name, "hash": checkpoint.hash}
        for named in (name, checkpoint.hash):
            body: dict[str, Any] = {"length": 9, "model": named}
            assert client.post("/generate", json=body).json()["model"] == model
            events = list(parse_events(client.get("/generate", params=body).text.split("\n")))
            assert events[-1].data["model"] == model
            scored = client.post("/score", json={"text": "abc", "model": named}).json()
            assert scored["model"] == model
            completion = client.post("/v1/completions", json={"model": named}).json()
            assert completion["system_fingerprint"] == checkpoint.hash
            info = client.get("/info", params={"model": named}).json()
            assert (info["name"], info["layers"]) == (name, checkpoint.config.layers)
            assert client.get("/tokenizer.json", params={"model": named}).is_success
            assert client.get(f"/v1/models/{named}").json()["id"] == name


def test_the_models_are_listed_and_the_first_one_is_the_default(
    client: httpx.Client, loaded: dict[str, Checkpoint]
) -> None:
    listed = [
        {"name": name, "hash": checkpoint.hash, "default": name == "ada"}
        for name, checkpoint in loaded.items()
    ]
    assert client.get("/models").json() == {"models": listed}
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == NAMES
    assert client.get("/info").json()["name"] == "ada"
    assert client.post("/generate", json={"length": 1}).json()["model"]["name"] == "ada"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/generate", {"length": 5}),
        ("POST", "/generate", {"length": 5, "stream": True}),
        ("POST", "/score", {"text": "abc"}),
        ("POST", "/cells", {"text": "abc", "cells": [{"layer": 0, "cell": 0}]}),
        ("GET", "/generate", None),
        ("GET", "/info", None),
        ("GET", "/tokenizer.json", None),
    ],
)
def test_an_unknown_model_is_404_with_several_models_and_409_with_one(
    client: httpx.Client, server: RunningServer, method: str, path: str, body: dict[str, Any] | None
) -> None:
    def send(client: httpx.Client, model: str) -> httpx.Response:
        if body is None:
            return client.request(method, path, params={"model": model})
        return client.request(method, path, json={**body, "model": model})

    response = send(client, "eve")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_model")
    assert "'eve'" in response.json()["detail"]
    assert "ada, bob" in response.json()["detail"]
    with server.client() as single:
        loaded = single.get("/info").json()["hash"]
        response = send(single, "eve")
        assert (response.status_code, response.json()["code"]) == (409, "other_model")
        assert "eve" in response.json()["detail"]
        assert loaded in response.json()["detail"]
        for right in (loaded, "tiny"):
            assert send(single, right).is_success


def test_an_unknown_model_is_not_found_under_v1(client: httpx.Client) -> None:
    for response in (
        client.post("/v1/completions", json={"model": "eve"}),
        client.get("/v1/models/eve"),
    ):
        assert response.status_code == 404
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_a_stream_resumes_with_the_model_that_began_it(
    client: httpx.Client, loaded: dict[str, Checkpoint]
) -> None:
    request = {"length": 60, "seed": 3, "model": "bob", "stream": True}
    whole = client.post("/generate", json=request)
    events = list(parse_events(whole.text.split("\n")))
    model = whole.headers["Charstream-Model"]
    assert model == loaded["bob"].hash
    headers = {"Last-Event-ID": str(events[19].id)}
    rest = client.post("/generate", json=request | {"model": model}, headers=headers)
    assert text_of(list(parse_events(rest.text.split("\n")))) == text_of(events)[20:]
    lost = client.post("/generate", json=request | {"model": "0" * 16}, headers=headers)
    assert lost.status_code == 404


def test_the_gauges_of_the_server_count_all_models(two: RunningServer) -> None:
    request = b"GET /generate?length=100000&model=%s HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as stack:
        for name in NAMES:  # nobody reads their texts, so they are paused
            stack.enter_context(connected(two, request % name.encode(), receive_buffer=1))
        wait_until(lambda: two.gauge("charstream_streams_paused") == 2, 10)
        for name in NAMES:
            assert two.gauge("charstream_model_streams", model=name, state="paused") == 1
    assert two.gauge("charstream_slots") == 9, "one is for other clients"


def test_the_metrics_describe_each_model(
    two: RunningServer, client: httpx.Client, loaded: dict[str, Checkpoint]
) -> None:
    def characters() -> list[float]:
        name = "charstream_generated_characters_total"
        return [two.gauge(name, model=model) for model in NAMES]

    before = characters()
    generated(client, length=30, model="bob", prime="abcab")
    assert characters() == [before[0], before[1] + 30]
    assert two.gauge("charstream_cache_bytes", model="bob") > 0
    for checkpoint in loaded.values():
        assert two.gauge("charstream_model_info", hash=checkpoint.hash) == 1


def test_the_log_names_every_model(two: RunningServer, folder: Path) -> None:
    for name in NAMES:
        assert two.log(f"loaded {folder / name}.safetensors")


def test_files_and_folders_form_a_list_and_a_setting_names_the_default(folder: Path) -> None:
    only = folder.parent / "list"
    only.mkdir(exist_ok=True)
    (only / "best.safetensors").write_bytes((folder / "ada.safetensors").read_bytes())
    checkpoint = f"{folder / 'bob.safetensors'}, {only}"
    with (
        running_server(Path(checkpoint), default_model="list") as server,
        server.client() as client,
    ):
        models = client.get("/models").json()["models"]
    assert [(model["name"], model["default"]) for model in models] == [
        ("bob", False),
        ("list", True),  # `best.safetensors` takes the name of its folder
    ]
    assert models[1]["hash"] == load_checkpoint(folder / "ada.safetensors").hash
