"""The OpenAPI document describes what the service does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.server import RunningServer, running_server

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
]


def test_every_response_matches_the_document(tiny_path: Path, tmp_path: Path) -> None:
    """Schemathesis sends valid and invalid requests, and checks the responses.

    A valid request may be refused: the document cannot say which characters a model knows.
    """
    limits = {"max_length": "60", "max_prime": "200", "max_streams": "8", "max_queue": "8"}
    with running_server(tiny_path, api_keys="right", **limits) as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
        options = ["--phases=examples,coverage,fuzzing", "--max-examples=4", "--seed=1"]
        header = ["--header", "Authorization: Bearer right"]
        result = subprocess.run(
            [*command, f"--checks={','.join(CHECKS)}", *options, "--no-shrink", *header],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        with server.client() as client:
            assert client.get("/health/ready").status_code == 200


def test_every_example_request_succeeds(shipped: RunningServer) -> None:
    with shipped.client() as client:
        document = client.get("/openapi.json").json()
        examples = list(_examples(document))
        paths = {"/cells", "/generate", "/score", "/suggest", "/v1/completions"}
        assert {path for path, _ in examples} == paths
        for path, example in examples:
            response = client.post(path, json=example)
            assert response.status_code == 200, response.text
            kind = "text/event-stream" if example.get("stream") else "application/json"
            assert response.headers["content-type"].startswith(kind)
        for parameter in document["paths"]["/generate"]["get"]["parameters"]:
            for example in parameter["schema"].get("examples", ()):
                response = client.get("/generate", params={parameter["name"]: example})
                assert response.status_code == 200, response.text


def _examples(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for example in content.get("application/json", {}).get("examples", {}).values():
                yield path, example["value"]


def test_every_possible_status_is_listed(shipped: RunningServer) -> None:
    with shipped.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    always = {"200", "401", "403", "429", "500"}
    names_a_model = always | {"404", "409", "422"}
    makes_text = names_a_model | {"413", "503", "504"}
    expected = {
        ("/generate", "post"): makes_text | {"204", "400"},
        ("/generate", "get"): makes_text | {"204", "431"},
        ("/score", "post"): makes_text | {"400"},
        ("/suggest", "post"): makes_text | {"400"},
        ("/models", "get"): always,
        ("/info", "get"): names_a_model,
        ("/tokenizer.json", "get"): names_a_model,
        ("/v1/completions", "post"): always | {"400", "404", "413", "503", "504"},
        ("/v1/models", "get"): always,
        ("/v1/models/{model}", "get"): always | {"404"},
        ("/reload", "post"): {"200", "401", "403", "409"},
        ("/metrics", "get"): {"200"},
        ("/health/live", "get"): {"200", "503"},
        ("/health/ready", "get"): {"200", "503"},
    }
    for (path, method), statuses in expected.items():
        assert set(paths[path][method]["responses"]) == statuses, path
    for operations in paths.values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                assert ("Retry-After" in response.get("headers", {})) == (status in ("429", "503"))
