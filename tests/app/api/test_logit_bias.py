"""The field `logit_bias` of /generate and of /v1, on a running server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from tests.app.api.generate_requests import PARAMS, post, stream
from tests.app.openai.completion_requests import complete, generated_text
from tests.conftest import CHARACTERS
from tests.events import text_of
from tests.server import RunningServer

BIASES: dict[str, float] = {"e": -100, "a": 2.5, "\n": -3, "é": 1}
biases = st.dictionaries(
    st.sampled_from(CHARACTERS), st.integers(-100, 100) | st.floats(-9, 9), max_size=6
)


def in_query(biases: dict[str, float]) -> list[str]:
    return [f"{character}:{bias!r}" for character, bias in biases.items()]


def errors_of(server: RunningServer, method: str, path: str, biases: object) -> dict[str, Any]:
    """The body of a refusal."""
    with server.client() as client:
        fields: dict[str, Any] = {"params" if method == "GET" else "json": {"logit_bias": biases}}
        response = client.request(method, path, **fields)
    assert response.status_code == (400 if path.startswith("/v1") else 422), response.text
    return dict(response.json())


def test_the_text_is_the_one_of_a_decoder_with_the_biases(
    server: RunningServer, tiny: Checkpoint
) -> None:
    with server.client() as client:
        decoder = Decoder(tiny, 1, precision=client.get("/info").json()["precision"])
    ids = tuple((tiny.vocabulary.characters.index(c), bias) for c, bias in BIASES.items())
    expected = decoder.generate(
        tiny.vocabulary.encode("abc"), 120, SamplingParams(logit_bias=ids), 7
    )
    text = post(server, logit_bias=BIASES)["text"]
    assert text == tiny.vocabulary.decode(expected)
    assert "e" not in text
    assert text != post(server)["text"] == post(server, logit_bias={"a": 0})["text"]


@settings(max_examples=30)
@given(biases=biases, seed=st.integers(0, 1000), position=st.integers(1, 79))
def test_a_text_is_the_same_streamed_and_resumed(
    server: RunningServer, biases: dict[str, float], seed: int, position: int
) -> None:
    fields: dict[str, Any] = {"length": 80, "seed": seed}
    text = post(server, logit_bias=biases, **fields)["text"]
    assert text_of(stream(server, logit_bias=in_query(biases), **fields)) == text
    rest = stream(server, f"{seed:x}-{position}", logit_bias=in_query(biases), **fields)
    assert text_of(rest) == text[position:]
    banned = {character for character, bias in biases.items() if bias == -100}
    assert not banned & set(text)


def test_a_pattern_does_without_banned_characters(server: RunningServer) -> None:
    body = post(server, pattern="[abc]{20}|e+", logit_bias={"b": -100, "e": -100})
    assert set(body["text"]) == {"a", "c"}
    assert body["finish_reason"] == "pattern"


def test_scores_describe_the_network_and_the_probability_the_draw(server: RunningServer) -> None:
    (biased,) = post(server, length=1, logit_bias={"h": 100}, logprobs=10)["logprobs"]
    (free,) = post(server, length=1, logprobs=10)["logprobs"]
    assert biased["token"] == "h"
    assert biased["probability"] > 0.999
    assert biased["entropy"] == free["entropy"]
    assert [pair[:2] for pair in biased["top"]] == [pair[:2] for pair in free["top"]]
    assert {probability for _, _, probability in biased["top"]} == {0, 1}


@pytest.mark.parametrize(
    ("biases", "field", "message"),
    [
        ({"ab": 1}, "logit_bias.ab", "the key must be a single character"),
        ({"": 1}, "logit_bias.", "the key must be a single character"),
        ({"a": -100.5}, "logit_bias.a", "greater than or equal to -100"),
        ({"a": "1"}, "logit_bias.a", "valid number"),
        ({"Ж": 1}, "logit_bias", "U+0416"),
        (["a:1"], "logit_bias", "an object"),
        ({chr(0x4E00 + n): 1 for n in range(1001)}, "logit_bias", "at most 1000"),
        (dict.fromkeys(CHARACTERS, -100), "logit_bias", "must leave a character"),
    ],
)
def test_biases_that_cannot_be_used_are_a_422(
    server: RunningServer, biases: object, field: str, message: str
) -> None:
    (error,) = errors_of(server, "POST", "/generate", biases)["errors"]
    assert error["field"] == field
    assert message in error["message"]


@pytest.mark.parametrize(
    ("texts", "field", "message"),
    [
        ("a", "logit_bias.0", "must be CHARACTER:BIAS, such as e:-100"),
        (["a:1", "ab:2"], "logit_bias.1", "must be CHARACTER:BIAS"),
        ("a:nan", "logit_bias.0.bias", "valid number"),
        (["a:1", "a:2"], "logit_bias", "each character once"),
    ],
)
def test_a_query_that_cannot_be_used_is_a_422(
    server: RunningServer, texts: object, field: str, message: str
) -> None:
    (error,) = errors_of(server, "GET", "/generate", texts)["errors"]
    assert error["field"] == field
    assert message in error["message"]


def test_completions_take_biases_of_token_ids(server: RunningServer) -> None:
    ids = {str(CHARACTERS.index(character)): bias for character, bias in BIASES.items()}
    (biased,) = complete(server, logit_bias=ids, echo=True, logprobs=0)["choices"]
    (free,) = complete(server, echo=True, logprobs=0)["choices"]
    assert biased["text"] == "abc" + generated_text(server, logit_bias=BIASES)
    echoed, other = (c["logprobs"]["token_logprobs"][:3] for c in (biased, free))
    assert echoed == other
    error = errors_of(server, "POST", "/v1/completions", dict.fromkeys(range(60), -100))["error"]
    assert error["param"] == "logit_bias"


def test_a_stream_of_post_takes_an_object(server: RunningServer) -> None:
    with server.client() as client:
        body = {**PARAMS, "logit_bias": BIASES, "stream": True}
        response = client.post("/generate", json=body)
    assert response.text.count('{"token"') == PARAMS["length"]
