"""A reload, with the capture of a graph on a GPU, does not disturb running streams."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.events import parse_events, text_of
from tests.server import RunningServer, running_server

PARAMS: dict[str, Any] = {"prime": "abc", "length": 4000, "seed": 5, "top_k": 20}
_READERS, _RELOADS = 4, 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{hidden}.safetensors" for hidden in (32, 96)]
    for path in paths:
        save_checkpoint(make_checkpoint(seed=1, hidden_size=int(path.stem)), path)
    return paths


@pytest.fixture
def running(
    device: torch.device, models: list[Path], tmp_path: Path
) -> Iterator[tuple[RunningServer, Path]]:
    served = Path(shutil.copy(models[0], tmp_path / "model.safetensors"))
    settings = {"device": str(device), "precision": "fp32", "max_streams": "8"}
    with running_server(
        served, admin_keys="operator", receive_seconds="0.5", max_length="5000", **settings
    ) as server:
        yield server, served


def read_stream(client: httpx.Client) -> str:
    """Return the text of one stream, which must end with `done`."""
    with client.stream("GET", "/generate", params=PARAMS) as response:
        assert response.status_code == 200
        events = list(parse_events(response.iter_lines()))
    assert events[-1].name == "done", events[-1]
    return text_of(events)


def reload(client: httpx.Client, served: Path, new: Path) -> None:
    shutil.copy(new, served.with_suffix(".new"))
    served.with_suffix(".new").replace(served)
    response = client.post("/reload", headers={"Authorization": "Bearer operator"})
    while "replaced models" in response.text:  # too many of them still run
        time.sleep(0.05)
        response = client.post("/reload", headers={"Authorization": "Bearer operator"})
    assert response.json()["changed"] is True


def test_streams_end_with_the_text_of_one_model_while_models_change(
    device: torch.device, running: tuple[RunningServer, Path], models: list[Path]
) -> None:
    server, served = running
    stop = threading.Event()

    def read_until_stopped() -> list[str]:
        texts = []
        with server.client() as client:
            while not stop.is_set():
                texts.append(read_stream(client))
        return texts

    with server.client() as client:
        expected = {read_stream(client)}
        reload(client, served, models[1])
        expected.add(read_stream(client))
        assert len(expected) == 2
        with ThreadPoolExecutor(_READERS) as pool:
            reading = [pool.submit(read_until_stopped) for _ in range(_READERS)]
            try:
                for number in range(_RELOADS):
                    reload(client, served, models[number % 2])
            finally:
                stop.set()
            for future in reading:
                assert set(future.result()) <= expected
        info = client.get("/info").json()
    assert (info["device"], "CUDA graph" in info["kernel"]) == (device.type, device.type == "cuda")
    problems = ("no CUDA graph", "depend on the other streams", "the engine failed")
    assert not [line for line in server.lines if any(part in line for part in problems)]
