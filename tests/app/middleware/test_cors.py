"""Requests of web pages to a service that allows their origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings

ALLOWED = "https://page.example"


@pytest.fixture(scope="module")
def client(tiny_path: Path) -> TestClient:
    settings = Settings(checkpoint=tiny_path, threads=1, cors_origins=(ALLOWED,))
    return TestClient(create_app(settings))


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method}


def test_the_preflight_of_an_allowed_origin_is_answered(client: TestClient) -> None:
    response = client.options("/generate", headers=preflight(ALLOWED))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ALLOWED


def test_a_refused_preflight_has_the_format_of_an_error(client: TestClient) -> None:
    response = client.options("/generate", headers=preflight("https://other.example", "DELETE"))
    assert response.status_code == 400
    assert response.json() == {"detail": "Disallowed CORS origin, method", "code": "cors"}
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["vary"].startswith("Origin")
