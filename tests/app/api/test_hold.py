"""The field `hold` of /generate on a running server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.held_cell import HeldCell
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from tests.app.api.generate_requests import post, stream
from tests.app.openai.completion_requests import complete, generated_text
from tests.events import text_of
from tests.server import RunningServer

HOLD: list[dict[str, Any]] = [
    {"layer": 1, "cell": 30, "value": 4.5},
    {"layer": 0, "cell": 2, "value": -3},
]

holds = st.lists(
    st.fixed_dictionaries(
        {"layer": st.integers(0, 1), "cell": st.integers(0, 31), "value": st.floats(-8, 8)}
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda hold: (hold["layer"], hold["cell"]),
)


def in_query(hold: list[dict[str, Any]]) -> list[str]:
    return ["{layer}:{cell}:{value!r}".format(**one) for one in hold]


def refusal(server: RunningServer, method: str, hold: object) -> dict[str, str]:
    """The invalid field of a response."""
    with server.client() as client:
        fields: dict[str, Any] = {"params" if method == "GET" else "json": {"hold": hold}}
        response = client.request(method, "/generate", **fields)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    return dict(error)


def test_the_text_is_the_one_of_a_decoder_that_holds_the_cells(
    server: RunningServer, tiny: Checkpoint
) -> None:
    with server.client() as client:
        decoder = Decoder(tiny, 1, precision=client.get("/info").json()["precision"])
    params = SamplingParams(hold=(HeldCell(1, 30, 4.5), HeldCell(0, 2, -3)))
    expected = decoder.generate(tiny.vocabulary.encode("abc"), 120, params, 7)
    text = post(server, hold=HOLD)["text"]
    assert text == tiny.vocabulary.decode(expected)
    assert text != post(server)["text"] == post(server, hold=[])["text"]


@settings(max_examples=20)
@given(hold=holds, seed=st.integers(0, 1000), position=st.integers(1, 79), unscored=st.booleans())
def test_a_held_text_is_the_same_streamed_resumed_and_scored(
    server: RunningServer, hold: list[dict[str, Any]], seed: int, position: int, unscored: bool
) -> None:
    fields: dict[str, Any] = {"length": 80, "seed": seed}
    scores: dict[str, Any] = {} if unscored else {"logprobs": 2}
    text = post(server, hold=hold, **fields)["text"]
    assert text_of(stream(server, hold=in_query(hold), **fields, **scores)) == text
    rest = stream(server, f"{seed:x}-{position}", hold=in_query(hold), **fields, **scores)
    assert text_of(rest) == text[position:]


def test_held_and_free_texts_do_not_change_each_other(server: RunningServer) -> None:
    requests = [{"seed": seed, "length": 300, "hold": HOLD[: seed % 3]} for seed in range(12)]
    alone = [post(server, **fields)["text"] for fields in requests]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda fields: post(server, **fields)["text"], requests))
    assert together == alone


def test_a_state_with_held_cells_is_never_reused(server: RunningServer) -> None:
    """The texts are as long as none of the other tests' primes and texts together."""
    held = post(server, prime="hold", hold=HOLD, length=77)["text"]
    longer = f"hold{held}"
    assert post(server, prime=longer)["usage"]["cached_characters"] < len(longer) - 2
    again = post(server, prime=longer)
    assert again["usage"]["cached_characters"] == len(longer) - 1
    assert post(server, prime=longer, hold=HOLD)["text"] != again["text"]


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
    error = refusal(server, "POST", hold)
    assert error["field"] == field
    assert error["value"].startswith(value)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("1:30", "hold.0", "must be LAYER:CELL:VALUE, such as 1:293:-2"),
        ("", "hold.0", "must be LAYER:CELL:VALUE, such as 1:293:-2"),
        ("1:30:nan", "hold.0.value", "valid number"),
        ("1:30:-8.01", "hold.0.value", "greater than or equal to -8"),
        ("1:3_0:2", "hold.0.cell", "valid integer"),
        ("3:30:2", "hold.0.layer", "must be from 0 to 1"),
    ],
)
def test_a_query_that_cannot_be_held_is_a_422(
    server: RunningServer, text: str, field: str, message: str
) -> None:
    error = refusal(server, "GET", text)
    assert error["field"] == field
    assert message in error["message"]


def test_completions_hold_cells_only_in_the_generated_text(server: RunningServer) -> None:
    (held,) = complete(server, hold=HOLD, echo=True, logprobs=0)["choices"]
    (free,) = complete(server, echo=True, logprobs=0)["choices"]
    assert held["text"] == "abc" + generated_text(server, hold=HOLD)
    assert held["text"] != free["text"]
    echoed, other = (c["logprobs"]["token_logprobs"][:3] for c in (held, free))
    assert echoed == other


def test_completions_refuse_cells_that_the_model_does_not_have(server: RunningServer) -> None:
    with server.client() as client:
        body = {"hold": [{**HOLD[0], "layer": 5}]}
        response = client.post("/v1/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "hold"
    assert "hold.0.layer: must be from 0 to 1 with this model, got 5" in response.text
