"""The models, the keys and the errors of /v1."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from tests.app.openai.completion_requests import PARAMS, openai_client
from tests.server import RunningServer, running_server


def test_only_the_loaded_model_is_listed_and_served(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "tiny"
    assert client.models.retrieve("tiny") == model
    assert model.model_extra is not None
    for name in (model.id, model.model_extra["hash"]):
        assert client.completions.create(**{**PARAMS, "model": name}).model == "tiny"
    for request in (
        lambda: client.completions.create(**{**PARAMS, "model": "gpt-3.5-turbo-instruct"}),
        lambda: client.models.retrieve("gpt-3.5-turbo-instruct"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            request()
        assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="send a prompt to /v1/completions"):
        client.chat.completions.create(model="tiny", messages=[])


def test_a_key_is_required_if_keys_are_set(tiny_path: Path) -> None:
    with running_server(tiny_path, api_keys="right") as locked:
        with (
            openai_client(locked, "wrong") as client,
            pytest.raises(openai.AuthenticationError) as caught,
        ):
            client.completions.create(**PARAMS)
        assert caught.value.code == "invalid_api_key"
        with openai_client(locked, "right") as client:
            assert client.models.list().data[0].id == "tiny"
            assert len(client.completions.create(**PARAMS).choices[0].text) == 40


def test_a_malformed_and_a_large_body_get_openai_errors(server: RunningServer) -> None:
    with server.client() as client:
        response = client.post("/v1/completions", content=b"{")
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "malformed"
        large = client.post("/v1/completions", content=b" " * 10**6)
        assert large.status_code == 413
        assert large.json()["error"]["type"] == "invalid_request_error"
