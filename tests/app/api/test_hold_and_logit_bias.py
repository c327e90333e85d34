"""The fields `hold` and `logit_bias` of /generate and /v1/completions, on a running server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.held_cell import HeldCell
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from tests.app.api.generate_requests import PARAMS, invalid_field, post, stream
from tests.app.openai.completion_requests import complete, generated_text
from tests.conftest import CHARACTERS
from tests.events import text_of
from tests.server import RunningServer

HOLD: list[dict[str, Any]] = [
    {"layer": 1, "cell": 30, "value": 4.5},
    {"layer": 0, "cell": 2, "value": -3},
]
BIASES: dict[str, float] = {"e": -100, "a": 2.5, "\n": -3, "é": 1}
BIASES_OF_IDS = {CHARACTERS.index(character): bias for character, bias in BIASES.items()}
HOLD_PARAMS = SamplingParams(hold=(HeldCell(1, 30, 4.5), HeldCell(0, 2, -3)))
BIAS_PARAMS = SamplingParams(logit_bias=tuple(BIASES_OF_IDS.items()))

holds = st.lists(
    st.fixed_dictionaries(
        {"layer": st.integers(0, 1), "cell": st.integers(0, 31), "value": st.floats(-8, 8)}
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda hold: (hold["layer"], hold["cell"]),
)
biases = st.dictionaries(
    st.sampled_from(CHARACTERS), st.integers(-100, 100) | st.floats(-9, 9), max_size=6
)


def in_query(hold: list[dict[str, Any]], biases: dict[str, float]) -> dict[str, list[str]]:
    return {
        "hold": ["{layer}:{cell}:{value!r}".format(**one) for one in hold],
        "logit_bias": [f"{character}:{bias!r}" for character, bias in biases.items()],
    }


@pytest.mark.parametrize(
    ("fields", "without", "params"),
    [
        ({"hold": HOLD}, {"hold": []}, HOLD_PARAMS),
        ({"logit_bias": BIASES}, {"logit_bias": {"a": 0}}, BIAS_PARAMS),
    ],
)
def test_the_text_is_the_one_of_a_decoder_with_the_same_parameters(
    server: RunningServer,
    tiny: Checkpoint,
    fields: dict[str, Any],
    without: dict[str, Any],
    params: SamplingParams,
) -> None:
    with server.client() as client:
        decoder = Decoder(tiny, 1, precision=client.get("/info").json()["precision"])
    expected = decoder.generate(tiny.vocabulary.encode("abc"), 120, params, 7)
    text = post(server, **fields)["text"]
    assert text == tiny.vocabulary.decode(expected)
    assert text != post(server)["text"] == post(server, **without)["text"]


@settings(max_examples=40)
@given(
    hold=st.just([]) | holds,
    biases=st.just({}) | biases,
    seed=st.integers(0, 1000),
    position=st.integers(1, 79),
    scores=st.sampled_from([{}, {"logprobs": 2}]),
    memory=st.booleans(),
)
def test_a_text_is_the_same_streamed_resumed_and_scored(
    server: RunningServer,
    hold: list[dict[str, Any]],
    biases: dict[str, float],
    seed: int,
    position: int,
    scores: dict[str, Any],
    memory: bool,
) -> None:
    fields: dict[str, Any] = {"length": 80, "seed": seed, "memory": memory}
    text = post(server, hold=hold, logit_bias=biases, **fields)["text"]
    fields |= in_query(hold, biases) | scores
    assert text_of(stream(server, **fields)) == text
    assert text_of(stream(server, f"{seed:x}-{position}", **fields)) == text[position:]
    assert not {character for character, bias in biases.items() if bias == -100} & set(text)


def test_a_state_with_held_cells_is_never_reused(server: RunningServer) -> None:
    """The texts are as long as none of the other tests' primes and texts together."""
    held = post(server, prime="hold", hold=HOLD, length=77)["text"]
    longer = f"hold{held}"
    assert post(server, prime=longer)["usage"]["cached_characters"] < len(longer) - 2
    again = post(server, prime=longer)
    assert again["usage"]["cached_characters"] == len(longer) - 1
    assert post(server, prime=longer, hold=HOLD)["text"] != again["text"]


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
    ("hold", "field", "value", "message"),
    [
        ([{**HOLD[0], "layer": 2}], "hold.0.layer", "2", "must be from 0 to 1 with this model"),
        ([HOLD[0], {**HOLD[0], "cell": 32}], "hold.1.cell", "32", "must be from 0 to 31"),
        ([{**HOLD[0], "cell": -1}], "hold.0.cell", "-1", "greater than or equal to 0"),
        ([{**HOLD[0], "value": 8.5}], "hold.0.value", "8.5", "less than or equal to 8"),
        ([{**HOLD[0], "value": "2"}], "hold.0.value", "'2'", "valid number"),
        ([{**HOLD[0], "size": 1}], "hold.0.size", "1", "unknown field"),
        ([{"layer": 0, "cell": 0}], "hold.0.value", "{'layer': 0, 'cell': 0}", "required"),
        (["1:30:2"], "hold.0", "'1:30:2'", "an object"),
        ("1:30:2", "hold", "'1:30:2'", "a valid array"),
        (HOLD + HOLD[:1], "hold", str(HOLD + HOLD[:1])[:40], "cell 30 of layer 1 is there twice"),
        ([{**HOLD[0], "cell": n} for n in range(9)], "hold", "[{'layer': 1", "at most 8"),
    ],
)
def test_a_json_body_that_cannot_be_held_is_a_422(
    server: RunningServer, hold: object, field: str, value: str, message: str
) -> None:
    error = invalid_field(server, "/generate", {"hold": hold})
    assert error["field"] == field
    assert error["value"].startswith(value)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("method", "sent", "field", "message"),
    [
        ("POST", {"ab": 1}, "logit_bias.ab", "the key must be a single character"),
        ("POST", {"": 1}, "logit_bias.", "the key must be a single character"),
        ("POST", {"a": -100.5}, "logit_bias.a", "greater than or equal to -100"),
        ("POST", {"a": "1"}, "logit_bias.a", "valid number"),
        ("POST", {"Ж": 1}, "logit_bias", "U+0416"),
        ("POST", ["a:1"], "logit_bias", "an object"),
        ("POST", {chr(0x4E00 + n): 1 for n in range(1001)}, "logit_bias", "at most 1000"),
        ("POST", dict.fromkeys(CHARACTERS, -100), "logit_bias", "must leave a character"),
        ("GET", "a", "logit_bias.0", "must be CHARACTER:BIAS, such as e:-100"),
        ("GET", ["a:1", "ab:2"], "logit_bias.1", "must be CHARACTER:BIAS"),
        ("GET", "a:nan", "logit_bias.0.bias", "valid number"),
        ("GET", ["a:1", "a:2"], "logit_bias", "each character once"),
        ("GET", "1:30", "hold.0", "must be LAYER:CELL:VALUE, such as 1:293:-2"),
        ("GET", "", "hold.0", "must be LAYER:CELL:VALUE, such as 1:293:-2"),
        ("GET", "1:30:nan", "hold.0.value", "valid number"),
        ("GET", "1:30:-8.01", "hold.0.value", "greater than or equal to -8"),
        ("GET", "1:3_0:2", "hold.0.cell", "valid integer"),
        ("GET", "3:30:2", "hold.0.layer", "must be from 0 to 1"),
    ],
)
def test_an_invalid_bias_or_query_is_a_422_that_names_the_field(
    server: RunningServer, method: str, sent: object, field: str, message: str
) -> None:
    error = invalid_field(server, "/generate", {field.partition(".")[0]: sent}, method)
    assert error["field"] == field
    assert message in error["message"]


@pytest.mark.parametrize(
    ("sent", "fields"),
    [({"hold": HOLD}, {"hold": HOLD}), ({"logit_bias": BIASES_OF_IDS}, {"logit_bias": BIASES})],
)
def test_completions_change_only_the_generated_text(
    server: RunningServer, sent: dict[str, Any], fields: dict[str, Any]
) -> None:
    (changed,) = complete(server, **sent, echo=True, logprobs=0)["choices"]
    (free,) = complete(server, echo=True, logprobs=0)["choices"]
    assert changed["text"] == "abc" + generated_text(server, **fields)
    assert changed["text"] != free["text"]
    echoed, other = (c["logprobs"]["token_logprobs"][:3] for c in (changed, free))
    assert echoed == other


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hold", [{**HOLD[0], "layer": 5}], "hold.0.layer: must be from 0 to 1 with this model"),
        ("logit_bias", dict.fromkeys(range(60), -100), "ids must be from 0 to 50, got 51"),
    ],
)
def test_completions_name_the_field_that_the_model_cannot_use(
    server: RunningServer, field: str, value: object, message: str
) -> None:
    with server.client() as client:
        response = client.post("/v1/completions", json={field: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field
    assert message in response.json()["error"]["message"]


def test_a_stream_of_post_takes_an_object(server: RunningServer) -> None:
    with server.client() as client:
        body = {**PARAMS, "logit_bias": BIASES, "stream": True}
        response = client.post("/generate", json=body)
    assert response.text.count('{"token"') == PARAMS["length"]
