"""POST /score, the field `logprobs` of /generate, and the field `model`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.api.generate_requests import ask, invalid_field, post, stream
from tests.conftest import CHARACTERS
from tests.server import RunningServer, running_server


def score(server: RunningServer, **fields: Any) -> dict[str, Any]:
    return ask(server, "/score", fields)


@settings(max_examples=15, deadline=None)
@given(
    prime=st.text(st.sampled_from(CHARACTERS), max_size=20),
    length=st.integers(1, 50),
    seed=st.integers(0, 2**32),
    temperature=st.floats(0, 5),
)
def test_scores_agree_with_generation(server: RunningServer, **fields: Any) -> None:
    generated = post(server, **fields, logprobs=3)
    scored = score(server, prime=fields["prime"], text=generated["text"], logprobs=3)
    assert [c["token"] for c in generated["logprobs"]] == list(generated["text"])
    assert len(scored["characters"]) == len(generated["text"])
    for drawn, read in zip(generated["logprobs"], scored["characters"], strict=True):
        assert drawn["logprob"] == pytest.approx(read["logprob"], abs=1e-4)
        assert drawn["entropy"] == pytest.approx(read["entropy"], abs=1e-4)
        assert drawn["rank"] == read["rank"]
        assert [alternative[:2] for alternative in drawn["top"]] == read["top"]
        for token, logprob, probability in drawn["top"]:
            if token == drawn["token"]:
                assert (logprob, probability) == (drawn["logprob"], drawn["probability"])
        assert 0 < drawn["probability"] <= 1
        assert "probability" not in read
    nats = -sum(c["logprob"] for c in scored["characters"])
    assert scored["nats"] == pytest.approx(nats)
    assert scored["bits"] == pytest.approx(nats / math.log(2))
    assert scored["bits_per_character"] == pytest.approx(scored["bits"] / len(generated["text"]))


def test_each_event_of_a_stream_has_the_scores_of_its_character(server: RunningServer) -> None:
    generated = post(server, logprobs=2, stop=["b"], length=400)
    events = [event.data for event in stream(server, logprobs=2, stop=["b"], length=400)[:-1]]
    assert events == generated["logprobs"]
    assert "".join(event["token"] for event in events) == generated["text"]


def test_without_filters_characters_are_drawn_with_their_own_probability(
    server: RunningServer,
) -> None:
    for character in post(server, logprobs=0, top_k=None)["logprobs"]:
        assert character["probability"] == pytest.approx(math.exp(character["logprob"]), abs=1e-3)
        assert character["top"] == []
    for character in post(server, logprobs=1, temperature=0)["logprobs"]:
        assert character["probability"] == 1
        assert character["rank"] == 1
        assert character["top"] == [[character["token"], character["logprob"], 1]]


def test_alternatives_have_the_probabilities_that_all_filters_leave(server: RunningServer) -> None:
    for character in post(server, logprobs=10, top_k=6, min_p=0.05, temperature=0.7)["logprobs"]:
        probabilities = np.array([probability for _, _, probability in character["top"]])
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        kept = np.flatnonzero(probabilities)
        assert kept.tolist() == list(range(len(kept))), "the most likely ones"
        assert len(kept) <= 6
        assert probabilities[kept].min() >= 0.05 * probabilities[0]
        logprobs = np.array([logprob for _, logprob, _ in character["top"]])[kept]
        expected = np.exp(logprobs / 0.7)
        assert probabilities[kept] == pytest.approx(expected / expected.sum(), abs=1e-4)


def test_scores_do_not_change_the_text(server: RunningServer) -> None:
    plain = post(server)
    assert "logprobs" not in plain
    assert post(server, logprobs=10)["text"] == plain["text"]


def test_the_distribution_of_the_next_character_can_be_whole(server: RunningServer) -> None:
    size = len(CHARACTERS)
    (character,) = post(server, length=1, logprobs=size)["logprobs"]
    assert {token for token, *_ in character["top"]} == set(CHARACTERS)
    assert math.fsum(math.exp(each[1]) for each in character["top"]) == pytest.approx(1, abs=1e-4)
    (event, _) = stream(server, length=1, logprobs=size)
    assert event.data == character
    for method in ("GET", "POST"):
        error = invalid_field(server, "/generate", {"logprobs": size + 1}, method)
        assert error["message"] == f"must be at most {size} with this model"
        many = {"length": 5000, "logprobs": size}
        assert (
            "at most 200000 in one" in invalid_field(server, "/generate", many, method)["message"]
        )


def test_a_text_after_an_empty_prime_scores_as_after_a_newline(server: RunningServer) -> None:
    expected = score(server, text="abc")
    assert score(server, text="abc", prime="")["characters"] == expected["characters"]
    assert score(server, text="abc", prime="\n")["characters"] == expected["characters"]


def test_a_request_for_too_many_scores_is_refused(tiny_path: Path) -> None:
    with running_server(tiny_path) as large, large.client() as client:
        for path, fields, field, advice in (
            ("/generate", {"length": 100_000}, "logprobs", "stream the text, or request less"),
            ("/score", {"text": "a" * 50_000}, "text", "send less text"),
        ):
            response = client.post(path, json={**fields, "logprobs": 10})
            assert response.status_code == 422
            assert advice in response.json()["detail"]
            (error,) = response.json()["errors"]
            assert error["field"] == field
        echo = {"prompt": "a" * 50_000, "echo": True, "logprobs": 10, "max_tokens": 0, "n": 2}
        for stream, advice in ((False, "stream the text, or request less"), (True, "request less")):
            response = client.post("/v1/completions", json={**echo, "stream": stream})
            assert response.status_code == 400
            message = f"in one response: {advice}, got '100000 characters x (1 + 10)'"
            assert message in response.json()["error"]["message"]
