"""A folder with several tiny models, and what each of them generates alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from model.checkpoints.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.server import running_server

OPERATOR = {"Authorization": "Bearer operator"}


def save_model(folder: Path, name: str, seed: int, **sizes: int) -> Path:
    """Write a tiny model as NAME.safetensors; return its path."""
    path = folder / f"{name}.safetensors"
    save_checkpoint(make_checkpoint(seed=seed, **sizes), path)
    return path


def make_folder(folder: Path) -> Path:
    """Write the models "ada" and "bob", which differ in size, into a folder; return it."""
    save_model(folder, "ada", 1)
    save_model(folder, "bob", 2, hidden_size=48, layers=1)
    return folder


def texts_alone(path: Path, requests: list[dict[str, Any]]) -> list[str]:
    """Return the texts that a server with only one model generates."""
    with running_server(path) as server, server.client() as client:
        return [generated(client, **request) for request in requests]


def generated(client: httpx.Client, **request: Any) -> str:
    response = client.post("/generate", json=request)
    assert response.status_code == 200, response.text
    text: str = response.json()["text"]
    return text


def names(client: httpx.Client) -> list[str]:
    """Return the names of the loaded models."""
    return [model["name"] for model in client.get("/models").json()["models"]]
