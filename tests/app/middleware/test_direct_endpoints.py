"""Requests that skip the framework's routing get the same responses as the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/generate", {"length": 20, "seed": 1}, 200),
        ("/score", {"text": "a"}, 200),
        ("/cells", {"text": "a", "cells": [{"layer": 0, "cell": 1}]}, 200),
        ("/v1/completions", {"max_tokens": 5, "seed": 1}, 200),
        ("/generate", {"length": 0}, 422),
        ("/v1/completions", {"max_tokens": -1}, 400),
    ],
)
async def test_a_request_under_a_prefix_is_answered_by_the_framework_alike(
    tiny_path: Path, path: str, body: dict[str, Any], status: int
) -> None:
    app = create_app(Settings(checkpoint=[tiny_path]))
    async with app.router.lifespan_context(app):
        direct = await _post(app, "", path, body)
        routed = await _post(app, "/prefix", path, body)
    assert direct.status_code == routed.status_code == status
    assert _lasting(direct.json()) == _lasting(routed.json())


async def _post(app: FastAPI, prefix: str, path: str, body: dict[str, Any]) -> httpx.Response:
    transport = httpx.ASGITransport(app, root_path=prefix)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(prefix + path, json=body)


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k not in ("id", "created", "timings")}
