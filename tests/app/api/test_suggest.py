"""POST /suggest: continuations with the probabilities that POST /score gives."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.api.generate_requests import ask, invalid_field
from tests.conftest import CHARACTERS
from tests.server import RunningServer

Rule = Callable[[str], bool]


def suggest(server: RunningServer, **fields: Any) -> dict[str, Any]:
    return ask(server, "/suggest", fields)


def in_word(character: str) -> bool:
    return character in "'\u2019_" or unicodedata.category(character)[0] in "LMN"


def in_line(character: str) -> bool:
    return character != "\n"


def logprob(server: RunningServer, prime: str, text: str, allowed: Rule, memory: bool) -> float:
    """The logprob that /score gives to a text and one of the characters that end it."""
    ends = [text + character for character in CHARACTERS if not allowed(character)]
    if memory:
        scores = [ask(server, "/score", {"prime": prime, "text": e, "memory": True}) for e in ends]
    else:
        scores = ask(server, "/score", {"prime": prime, "texts": ends})["scores"]
    return math.log(math.fsum(math.exp(-score["nats"]) for score in scores))


@settings(max_examples=10, deadline=None)
@given(
    prime=st.text(st.sampled_from(CHARACTERS), max_size=20),
    n=st.integers(1, 20),
    boundary=st.sampled_from(["word", "line"]),
    memory=st.booleans(),
)
def test_probabilities_are_those_of_the_scores(
    server: RunningServer, prime: str, n: int, boundary: str, memory: bool
) -> None:
    fields = {"prime": prime, "n": n, "boundary": boundary, "memory": memory, "max_length": 12}
    body = suggest(server, **fields)
    found, logprobs = body["suggestions"], [each["logprob"] for each in body["suggestions"]]
    assert body == suggest(server, **fields) | {"usage": body["usage"], "timings": body["timings"]}
    assert logprobs == sorted(logprobs, reverse=True)
    assert len({each["text"] for each in found}) == len(found) <= n
    assert math.fsum(each["probability"] for each in found) <= 1 + 1e-9
    allowed = in_word if boundary == "word" else in_line
    for each in found[:2]:
        text = each["text"]
        assert all(map(allowed, text))
        assert len(text) <= 12
        expected = logprob(server, prime, text, allowed, memory)
        assert each["logprob"] == pytest.approx(expected, abs=1e-5)
        assert each["probability"] == pytest.approx(math.exp(expected), abs=1e-6)
        assert text or (prime and allowed(prime[-1])), "a word that has begun may end"


def test_a_pattern_replaces_the_boundary(server: RunningServer) -> None:
    body = suggest(server, prime="ab", pattern="[a-c]{2}", n=20)
    texts = [each["text"] for each in body["suggestions"]]
    assert sorted(texts) == sorted(a + b for a in "abc" for b in "abc")
    assert body["complete"]
    scores = ask(server, "/score", {"prime": "ab", "texts": texts})["scores"]
    for each, score in zip(body["suggestions"], scores, strict=True):
        assert each["logprob"] == pytest.approx(-score["nats"], abs=1e-5)
    usage = {"prime_characters": 2, "cached_characters": 1, "generated_characters": 0}
    assert suggest(server, prime="ab")["usage"] == usage, "only the last character is read again"
    assert suggest(server)["suggestions"] == suggest(server, prime="\n")["suggestions"]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"n": 21}, "n", "less than or equal to 20"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"max_length": 101}, "max_length", "less than or equal to 100"),
        ({"boundary": "sentence"}, "boundary", "'word' or 'line'"),
        ({"boundary": "word", "pattern": "a+"}, "pattern", "is not supported with `boundary`"),
        ({"pattern": "[^\\s\\S]"}, "pattern", "matches no text"),
        ({"prime": "aΩ"}, "prime", "position 1"),
        ({"length": 5}, "length", "unknown field"),
    ],
)
def test_invalid_fields_are_named(
    server: RunningServer, fields: dict[str, Any], field: str, message: str
) -> None:
    error = invalid_field(server, "/suggest", fields)
    assert error["field"] == field
    assert message in error["message"]
