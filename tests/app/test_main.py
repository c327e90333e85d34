"""The application as a whole: its pages, its metrics and its CORS headers."""

from __future__ import annotations

from pathlib import Path

from app.main import create_app
from app.settings import Settings
from tests.server import RunningServer, running_server


def test_the_page_and_the_api_reference_are_served(server: RunningServer) -> None:
    with server.client() as client:
        assert "<title>charstream</title>" in client.get("/").text
        assert client.get("/docs").status_code == 200
        paths = client.get("/openapi.json").json()["paths"]
    assert {"/generate", "/info", "/health/live", "/health/ready"} <= paths.keys()
    assert paths["/generate"].keys() == {"get", "post"}


def test_only_configured_origins_get_cors_headers(tiny_path: Path) -> None:
    origin = "https://reader.example"
    with running_server(tiny_path, cors_origins=origin) as server, server.client() as client:
        for sent, allowed in ((origin, origin), ("https://other.example", None)):
            response = client.get("/health/ready", headers={"Origin": sent})
            assert response.headers.get("access-control-allow-origin") == allowed


def test_two_applications_in_one_process_have_separate_metrics(tiny_path: Path) -> None:
    first, second = (create_app(Settings(checkpoint=tiny_path)) for _ in range(2))
    first.state.metrics.of("tiny").characters.inc(5)
    assert second.state.metrics.registry is not first.state.metrics.registry
    value = "charstream_generated_characters_total"
    assert second.state.metrics.registry.get_sample_value(value, {"model": "tiny"}) == 0
