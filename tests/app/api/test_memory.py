"""The field `memory` of /generate, /score and /v1/completions, on a running server."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.native.memory import memory_bytes
from tests.app.api.generate_requests import PARAMS, ask, invalid_field, post, stream
from tests.app.openai.completion_requests import complete
from tests.conftest import CHARACTERS
from tests.events import text_of
from tests.server import RunningServer

NAMES = "Dora met Ann! " * 12

fields = st.fixed_dictionaries(
    {"prime": st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=60)},
    optional={
        "length": st.integers(1, 80),
        "seed": st.integers(0, 100),
        "top_k": st.none() | st.integers(1, 9),
        "temperature": st.floats(0, 3),
        "min_p": st.floats(0, 0.5),
        "stop": st.just(["a", "Zo"]),
        "logit_bias": st.just({"e": -100, "a": 3}),
        "pattern": st.just("[a-z ,.]{1,40}"),
    },
)


def generated(server: RunningServer, tiny: Checkpoint, prime: str, length: int) -> str:
    """The text of a decoder of its own, as the server's precision has it."""
    with server.client() as client:
        decoder = Decoder(tiny, 1, precision=client.get("/info").json()["precision"])
    params = SamplingParams(top_k=None, memory=True)
    ids = decoder.generate(tiny.vocabulary.encode(prime), length, params, PARAMS["seed"])
    return tiny.vocabulary.decode(ids)


def test_the_text_is_the_one_of_a_decoder_with_the_same_parameters(
    server: RunningServer, tiny: Checkpoint
) -> None:
    body = post(server, prime=NAMES, top_k=None, memory=True)
    assert body["text"] == generated(server, tiny, NAMES, 120)
    assert body["text"] != post(server, prime=NAMES, top_k=None)["text"]
    query = {"prime": NAMES, "top_k": "null", "memory": "true"}
    assert text_of(stream(server, **query)) == body["text"]
    completion = complete(server, prompt=NAMES, memory=True, max_tokens=120)
    assert completion["choices"][0]["text"] == body["text"]


@settings(max_examples=20, deadline=None)
@given(fields=fields)
def test_scores_agree_with_generation(server: RunningServer, fields: dict[str, Any]) -> None:
    generated = post(server, **fields, logprobs=2, memory=True)
    if not generated["text"]:
        return
    asked = {"prime": fields["prime"], "text": generated["text"], "logprobs": 2, "memory": True}
    scored = ask(server, "/score", asked)
    for drawn, read in zip(generated["logprobs"], scored["characters"], strict=True):
        for name in ("token", "logprob", "rank", "entropy"):
            assert drawn[name] == read[name]


def test_repeated_names_are_expected(server: RunningServer) -> None:
    def bits(memory: bool) -> float:
        body = {"prime": NAMES, "text": "Dora met Ann!", "memory": memory}
        return float(ask(server, "/score", body)["bits_per_character"])

    assert bits(memory=True) < 1 < bits(memory=False)


def test_a_text_that_is_continued_is_not_read_again(
    server: RunningServer, tiny: Checkpoint
) -> None:
    first = post(server, prime=NAMES + "a", length=30, top_k=None, memory=True)["text"]
    plain = post(server, prime=NAMES + "a" + first, length=30, top_k=None)
    again = post(server, prime=NAMES + "a" + first, length=30, top_k=None, memory=True)
    read = len(NAMES) + 1 + len(first)
    assert plain["usage"]["cached_characters"] < read - 1
    assert again["usage"]["cached_characters"] == read - 1
    assert again["text"] == generated(server, tiny, NAMES + "a" + first, 30)


def test_where_it_has_no_meaning_it_is_refused(server: RunningServer) -> None:
    error = invalid_field(server, "/score", {"texts": ["ab"], "memory": True})
    assert error == {
        "field": "memory",
        "value": "true",
        "message": "requires `text` instead of `texts`",
    }
    cells = {"text": "ab", "cells": [{"layer": 0, "cell": 0}], "memory": True}
    assert invalid_field(server, "/cells", cells)["field"] == "memory"


def test_the_memory_of_a_stream_is_leased(server: RunningServer, tiny: Checkpoint) -> None:
    with server.client() as client:
        info = client.get("/info").json()["memory"]
        assert info == {"available": True, "bytes": memory_bytes(len(tiny.vocabulary))}
        body = {"length": 5_000, "memory": True, "stream": True}
        with client.stream("POST", "/generate", json=body):
            assert server.gauge("charstream_memory_leased_bytes") > info["bytes"]
