"""A model that reads rare characters as U+FFFD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.pytorch.network import CharLSTM
from model.text.vocabulary import UNKNOWN, Vocabulary
from tests.server import running_server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    torch.manual_seed(0)
    vocabulary = Vocabulary(["\n", *"abc", UNKNOWN])
    config = NetworkConfig(len(vocabulary), 32, 1)
    path: Path = tmp_path_factory.mktemp("checkpoint") / "folded.safetensors"
    weights = {name: tensor * 3 for name, tensor in CharLSTM(config).weights().items()}
    save_checkpoint(Checkpoint(config, vocabulary, weights, {}), path)
    with running_server(path) as server, server.client() as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


def text(client: httpx.Client, **body: Any) -> str:
    generated: str = post(client, "/generate", length=50, seed=7, **body)["text"]
    return generated


def test_rare_characters_of_a_prime_are_read_as_u_fffd(client: httpx.Client) -> None:
    rare = text(client, prime="abЖc漢")
    assert rare == text(client, prime=f"ab{UNKNOWN}c{UNKNOWN}")
    assert UNKNOWN not in rare
    assert text(client, prime="abЖc漢", unknown="skip") == text(client, prime="abc")
    before = post(client, "/score", prime="Ж", text="abc")
    assert before["nats"] == post(client, "/score", prime=UNKNOWN, text="abc")["nats"]


def test_an_echo_repeats_the_prompt_as_it_was_sent(client: httpx.Client) -> None:
    params = {"prompt": "abЖc", "max_tokens": 5, "seed": 7, "echo": True}
    choice = post(client, "/v1/completions", **params)["choices"][0]
    assert choice["text"].startswith("abЖc")


def test_a_rare_character_cannot_be_scored_and_is_named(client: httpx.Client) -> None:
    response = client.post("/score", json={"text": "abЖ"})
    assert response.status_code == 422
    assert "U+0416" in response.json()["detail"]
    response = client.post("/v1/completions", json={"prompt": "abЖ", "echo": True, "logprobs": 1})
    assert response.status_code == 400
    assert "U+0416) at position 2" in response.json()["error"]["message"]
