"""Requests that a browser sends for a page of another site."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server import RunningServer, running_server

PAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Origin": "https://a.example"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/generate"), ("GET", "/generate"), ("POST", "/score"), ("POST", "/v1/completions")],
)
def test_a_page_of_another_site_is_refused(server: RunningServer, method: str, path: str) -> None:
    with server.client() as client:
        response = client.request(method, path, headers=PAGE)
        assert response.status_code == 403
        assert "CHARSTREAM_CORS_ORIGINS" in response.text
        same = client.request(method, path, headers={**PAGE, "Sec-Fetch-Site": "same-origin"})
        assert same.status_code in (200, 422)


def test_a_link_from_another_site_can_be_followed(server: RunningServer) -> None:
    link = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}
    headers = {**PAGE, **link}
    with server.client() as client:
        assert client.get("/", headers=PAGE).status_code == 200
        assert client.get("/generate?length=3", headers=headers).status_code == 200


@pytest.mark.parametrize("destination", ["iframe", "document"])
def test_frames_and_forms_are_refused(server: RunningServer, destination: str) -> None:
    headers = {**PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": destination}
    with server.client() as client:
        assert client.get("/generate?length=3", headers=headers).status_code == 403
        user = {**headers, "Sec-Fetch-User": "?1"}
        assert client.post("/generate", content=b"{}", headers=user).status_code == 403


@pytest.mark.parametrize("origins", ["https://a.example", "*"])
def test_allowed_origins_may_send_requests(tiny_path: Path, origins: str) -> None:
    with running_server(tiny_path, cors_origins=origins) as running, running.client() as client:
        assert client.post("/generate", json={"length": 3}, headers=PAGE).status_code == 200
