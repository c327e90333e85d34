"""A new checkpoint goes to work beside the old one."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import make_checkpoint
from tests.events import parse_events, spelled
from tests.server import RunningServer, running_server

OPERATOR = {"Authorization": "Bearer operator"}
ASK: dict[str, Any] = {"prime": "abc", "length": 200, "seed": 5}


@pytest.fixture(scope="module")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "tiny.safetensors"
    save_checkpoint(make_checkpoint(seed=1, hidden_size=24), path)
    return path


@pytest.fixture(scope="module")
def served_path(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(tiny_path, tmp_path_factory.mktemp("served") / "model.safetensors"))


@pytest.fixture(scope="module")
def running(served_path: Path) -> Iterator[RunningServer]:
    with running_server(
        served_path, admin_keys="operator", receive_seconds="0.5", max_length="10000000"
    ) as server:
        yield server


@pytest.fixture
def client(running: RunningServer, tiny_path: Path, served_path: Path) -> Iterator[httpx.Client]:
    """Of a server that serves the tiny checkpoint."""
    with running.client() as client:
        assert reload(client, served_path, tiny_path).status_code == 200
        yield client


def reload(client: httpx.Client, served: Path, new: Path, patience: float = 10) -> httpx.Response:
    """Puts a checkpoint in place and reloads, when former models make room for it."""
    shutil.copy(new, served.with_suffix(".new"))
    served.with_suffix(".new").replace(served)
    deadline = time.monotonic() + patience
    while True:
        answer = client.post("/reload", headers=OPERATOR)
        if "replaced models" not in answer.text or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def test_after_a_reload_everything_speaks_of_the_new_model(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    old = client.post("/generate", json=ASK).json()
    new_hash = load_checkpoint(other_path).hash
    answer = reload(client, served_path, other_path)
    assert answer.json() == {"changed": True, "model": {"name": "model", "hash": new_hash}}
    info = client.get("/info").json()
    assert (info["hash"], info["hidden_size"]) == (new_hash, 24)
    assert f'hash="{new_hash}"' in client.get("/metrics").text
    assert old["model"]["hash"] not in client.get("/metrics").text
    new = client.post("/generate", json=ASK).json()
    assert new["model"]["hash"] == new_hash
    assert new["text"] != old["text"]
    assert new["usage"]["cached_characters"] == 0, "what the old one remembers is not the new's"
    assert client.post("/generate", json=ASK | {"model": old["model"]["hash"]}).status_code == 409
    reloaded_again = client.post("/reload", headers=OPERATOR).json()
    assert reloaded_again["changed"] is False


def test_streams_end_on_the_weights_on_which_they_began(
    client: httpx.Client, running: RunningServer, served_path: Path, other_path: Path
) -> None:
    ask = ASK | {"length": 20_000}
    whole = client.post("/generate", json=ask).json()["text"]
    with client.stream("GET", "/generate", params=ask) as stream, running.client() as second:
        lines = stream.iter_lines()
        first = next(lines)
        assert reload(second, served_path, other_path).json()["changed"] is True
        events = list(parse_events([first, *lines]))
    assert spelled(events) == whole
    assert events[-1].name == "done"
    running.log("the replaced model has finished its generations")


def test_no_request_is_lost_while_models_change(
    client: httpx.Client,
    running: RunningServer,
    served_path: Path,
    tiny_path: Path,
    other_path: Path,
) -> None:
    texts = {}
    for path in (other_path, tiny_path):
        reload(client, served_path, path)
        answer = client.post("/generate", json=ASK).json()
        texts[answer["model"]["hash"]] = answer["text"]
    stop = False

    def ask() -> int:
        count = 0
        with running.client() as one:
            while not stop:
                answer = one.post("/generate", json=ASK)
                assert answer.status_code == 200
                body = answer.json()
                assert body["text"] == texts[body["model"]["hash"]], "of one model, not of two"
                count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for path in (other_path, tiny_path, other_path):
                assert reload(client, served_path, path).json()["changed"] is True
        finally:
            stop = True
        assert all(future.result() > 0 for future in asking)


def test_a_bad_file_changes_nothing_and_says_why(
    client: httpx.Client, running: RunningServer, served_path: Path
) -> None:
    before = client.get("/info").json()
    served_path.write_bytes(served_path.read_bytes()[:-10])
    answer = client.post("/reload", headers=OPERATOR)
    assert answer.status_code == 409
    assert answer.json()["code"] == "not_reloaded"
    assert f"{served_path}: not a readable .safetensors file" in answer.json()["detail"]
    assert client.get("/info").json() == before
    assert client.post("/generate", json=ASK).status_code == 200
    served_path.unlink()
    assert "no such file" in client.post("/reload", headers=OPERATOR).json()["detail"]
    assert client.get("/health/ready").status_code == 200


def test_a_hangup_signal_reloads_too(
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
    wanted = load_checkpoint(other_path).hash
    while client.get("/info").json()["hash"] != wanted:  # and former models make room for it
        assert time.monotonic() < deadline
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)


def test_former_models_do_not_pile_up(
    client: httpx.Client,
    running: RunningServer,
    served_path: Path,
    tiny_path: Path,
    other_path: Path,
) -> None:
    endless = {"length": "10000000"}
    with running.client() as reader:
        texts = []  # an iterator that is let go of closes its connection
        answers = []
        for path, patience in ((other_path, 10), (tiny_path, 10), (other_path, 10), (tiny_path, 0)):
            ask = reader.build_request("GET", "/generate", params=endless)
            texts.append(reader.send(ask, stream=True).iter_raw())
            next(texts[-1])
            answers.append(reload(client, served_path, path, patience))
            time.sleep(0.7)  # longer than a former model without texts stays
        texts.clear()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 409]
    assert "replaced models" in answers[-1].json()["detail"]
    assert client.post("/generate", json=ASK).status_code == 200
    assert reload(client, served_path, other_path).status_code == 200, "once the streams are gone"
