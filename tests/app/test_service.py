"""The service as its operator meets it: start, model card, keys, shutdown."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app import __version__
from model.checkpoint import Checkpoint
from tests.events import parse_events, spelled
from tests.server import RunningServer, running_server, start_process


def test_the_model_card_tells_what_is_loaded(server: RunningServer, tiny: Checkpoint) -> None:
    with server.client() as client:
        info = client.get("/info").json()
    assert info["name"] == "tiny"
    assert info["hash"] == tiny.hash
    assert info["vocabulary"] == list(tiny.vocabulary.characters)
    assert (info["layers"], info["hidden_size"]) == (2, 32)
    assert info["parameters"] == sum(tensor.numel() for tensor in tiny.weights.values())
    assert info["validation_loss"] == 3.5
    assert info["device"] == "cpu"
    assert info["precision"] in ("fp32", "int8")
    assert info["limits"] == {"length": 5000, "prime": 2000, "streams": 8, "queue": 8}
    assert info["version"] == __version__


def test_the_page_and_the_documentation_are_there(server: RunningServer) -> None:
    with server.client() as client:
        assert "<title>charstream</title>" in client.get("/").text
        assert client.get("/docs").status_code == 200
        paths = client.get("/openapi.json").json()["paths"]
    assert {"/generate", "/info", "/health/live", "/health/ready"} <= paths.keys()
    assert paths["/generate"].keys() == {"get", "post"}


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _tampered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_missing, _truncated, _tampered])
def test_a_bad_checkpoint_stops_the_start_with_one_line(
    damage: Callable[[Path], None], tiny_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(tiny_path.read_bytes())
    damage(path)
    process = start_process(path, port="0")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.startswith(f"charstream: {path}: ")
    assert output.count("\n") == 1


def test_a_bad_setting_stops_the_start_with_one_line(tiny_path: Path) -> None:
    process = start_process(tiny_path, port="99999", max_streams="none")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.startswith("charstream: CHARSTREAM_PORT: ")
    assert "CHARSTREAM_MAX_STREAMS" in output
    assert output.count("\n") == 1


def test_a_vocabulary_without_a_new_line_has_a_start_too(tmp_path: Path) -> None:
    from model.checkpoint import save_checkpoint
    from model.network import CharLSTM, NetworkConfig
    from model.vocabulary import Vocabulary

    config = NetworkConfig(3, hidden_size=8, layers=1)
    model = Checkpoint(config, Vocabulary("abc"), CharLSTM(config).state_dict())
    save_checkpoint(model, tmp_path / "abc.safetensors")
    with running_server(tmp_path / "abc.safetensors") as abc, abc.client() as client:
        assert len(client.post("/generate", json={"length": 9}).json()["text"]) == 9
        assert client.post("/generate", json={"prime": "\n"}).status_code == 422


def test_keys_are_asked_for_where_they_are_set(tiny_path: Path) -> None:
    with running_server(tiny_path, api_keys="first,second") as locked, locked.client() as client:
        for path in ("/", "/openapi.json", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
        for header in ({}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first"}):
            for answer in (
                client.post("/generate", json={"length": 3}, headers=header),
                client.get("/generate", headers=header),
                client.get("/info", headers=header),
            ):
                assert answer.status_code == 401
                assert answer.json()["code"] == "unauthorized"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        for key in ("first", "second"):
            header = {"Authorization": f"Bearer {key}"}
            assert client.post("/generate", json={"length": 3}, headers=header).status_code == 200


def test_told_to_stop_while_it_starts_it_ends_at_once(tiny_path: Path) -> None:
    process = start_process(tiny_path, port="0")
    time.sleep(0.3)
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=20)[0]
    assert process.returncode in (0, -signal.SIGTERM)


def test_other_origins_are_let_in_only_where_configured(tiny_path: Path) -> None:
    origin = "https://reader.example"
    with running_server(tiny_path, cors_origins=origin) as open_one, open_one.client() as client:
        for asked, allowed in ((origin, origin), ("https://other.example", None)):
            answer = client.get("/health/ready", headers={"Origin": asked})
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_told_to_stop_it_lets_streams_end_and_exits_with_0(tiny_path: Path) -> None:
    with running_server(tiny_path, drain_seconds="20") as ending, ending.client() as client:
        ask = {"length": 4000, "seed": 1}
        whole = client.post("/generate", json=ask).json()["text"]
        with client.stream("GET", "/generate", params=ask) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("id: 1-1")
            ending.process.terminate()
            events = list(parse_events(["id: 1-1", *lines]))
        assert spelled(events) == whole
        assert events[-1].name == "done"
        assert ending.process.wait(20) == 0


def test_streams_left_at_the_end_of_the_drain_time_are_closed_to_be_resumed(
    tiny_path: Path,
) -> None:
    settings = {"drain_seconds": "0.3", "max_length": "5000000"}
    with running_server(tiny_path, **settings) as ending, ending.client() as client:
        with client.stream("GET", "/generate", params={"length": 5_000_000}) as response:
            lines = response.iter_lines()
            received = [next(lines)]
            ending.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                received.extend(lines)
        events = list(parse_events(received))
        assert len(events) > 100
        assert {event.name for event in events} == {"message"}, "neither error nor done"
        assert ending.process.wait(20) == 0
        assert not [line for line in ending.lines if " ERROR " in line]


def test_completions_left_at_the_end_of_the_drain_time_get_an_error(tiny_path: Path) -> None:
    settings = {"drain_seconds": "0.3", "max_length": "5000000"}
    ask = {"max_tokens": 5_000_000, "stream": True}
    with running_server(tiny_path, **settings) as ending, ending.client() as client:
        with client.stream("POST", "/v1/completions", json=ask) as response:
            lines = response.iter_lines()
            next(lines)
            ending.process.terminate()
            data = [line.removeprefix("data: ") for line in lines if line]
        assert json.loads(data[-1])["error"]["code"] == "draining"
        assert ending.process.wait(20) == 0
