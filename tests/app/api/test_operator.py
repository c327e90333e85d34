"""The model card, the tokenizer, and reloads without keys."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tokenizers import Tokenizer

from app import __version__
from app.main import create_app
from app.settings import Settings
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from tests.conftest import SHIPPED
from tests.server import RunningServer


def test_the_model_card_describes_the_loaded_model(server: RunningServer, tiny: Checkpoint) -> None:
    with server.client() as client:
        info = client.get("/info").json()
    assert info["name"] == "tiny"
    assert info["hash"] == tiny.hash
    assert (info["title"], info["source"], info["prime"]) == ("", "", "")
    assert info["vocabulary"] == list(tiny.vocabulary.characters)
    assert (info["layers"], info["hidden_size"]) == (2, 32)
    assert info["parameters"] == sum(array.size for array in tiny.weights.values())
    assert info["validation_loss"] == 3.5
    assert info["device"] == "cpu"
    assert info["precision"] in ("fp32", "int8")
    assert info["limits"] == {"length": 5000, "prime": 2000, "streams": 16, "queue": 8}
    assert info["version"] == __version__
    assert info["cells"] == [], "the tiny checkpoint has no catalogue"


def test_the_model_card_lists_cells_and_what_they_track(shipped: RunningServer) -> None:
    with shipped.client() as client:
        info = client.get("/info").json()
    checkpoint = load_checkpoint(SHIPPED)
    assert info["hash"] == checkpoint.hash
    assert checkpoint.cells
    assert info["cells"] == [asdict(tracked) for tracked in checkpoint.cells]


def test_the_tokenizer_gives_the_ids_that_a_prompt_may_have(
    server: RunningServer, tiny: Checkpoint
) -> None:
    prompt = "Ha! 'é😀\u2028'\n  a"
    with server.client() as client:
        tokenizer = Tokenizer.from_str(client.get("/tokenizer.json").text)
        ids = tokenizer.encode(prompt).ids
        assert ids == tiny.vocabulary.encode(prompt).tolist()
        of_text, of_ids = (
            client.post("/v1/completions", json={"prompt": sent, "seed": 7}).json()["choices"]
            for sent in (prompt, ids)
        )
    assert of_text == of_ids


def test_without_keys_nobody_can_reload_over_http(server: RunningServer) -> None:
    with server.client() as client:
        response = client.post("/reload")
    assert response.status_code == 403
    assert "CHARSTREAM_ADMIN_KEYS" in response.json()["detail"]


def test_a_reload_replaces_an_engine_that_has_failed(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    settings = Settings(checkpoint=tiny_path, admin_keys=frozenset({"operator"}), threads=1)
    with TestClient(create_app(settings), headers={"Authorization": "Bearer operator"}) as client:
        (engine,) = client.app.state.model_manager.engines  # type: ignore[attr-defined]
        monkeypatch.setattr(engine._decoder, "advance", fail)
        failed = client.post("/generate", json={"length": 9})
        assert (failed.status_code, failed.json()["code"]) == (503, "engine_failed")
        assert client.get("/health/live").status_code == 503
        assert client.post("/reload").status_code == 200
        assert client.get("/health/live").status_code == 200
        assert len(client.post("/generate", json={"length": 9}).json()["text"]) == 9
