"""POST /score with `texts`: many texts in one request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.api.generate_requests import invalid_field, post
from tests.app.api.test_score import score
from tests.conftest import CHARACTERS
from tests.server import RunningServer, running_server
from tests.waiting import wait_until

LONG = {"texts": ["abcdefghij" * 100] * 9000}  # takes many seconds
texts = st.lists(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=40), min_size=1)


@settings(max_examples=15)
@given(texts=texts, prime=st.text(st.sampled_from(CHARACTERS), max_size=20), data=st.data())
def test_each_text_scores_as_in_a_request_of_its_own(
    server: RunningServer, texts: list[str], prime: str, data: st.DataObject
) -> None:
    alone = [score(server, text=text, prime=prime, logprobs=2) for text in texts]
    model = alone[0]["model"]
    expected = [{k: v for k, v in one.items() if k != "model"} for one in alone]
    detailed = score(server, texts=texts, prime=prime, logprobs=2, detail=True)
    assert detailed == {"scores": expected, "model": model}
    order = data.draw(st.permutations(range(len(texts))))
    summed = score(server, texts=[texts[index] for index in order], prime=prime)
    short = [{**one, "characters": len(one["characters"])} for one in expected]
    assert summed == {"scores": [short[index] for index in order], "model": model}
    assert score(server, text=texts[0], prime=prime, detail=False) == {**short[0], "model": model}


def test_ten_thousand_texts_are_scored(server: RunningServer) -> None:
    texts = [CHARACTERS[n % len(CHARACTERS)] * (1 + n % 3) for n in range(10_000)]
    scores = score(server, texts=texts, prime="")["scores"]
    assert [one["characters"] for one in scores] == list(map(len, texts))
    assert scores[:100] == score(server, texts=texts[:100])["scores"]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "text", "is required, unless the request has texts"),
        ({"text": ""}, "text", "at least 1 character"),
        ({"text": "aZ"}, "text", "(U+005A)"),
        ({"text": "a", "prime": "Z"}, "prime", "(U+005A)"),
        ({"text": "a" * 2001}, "text", "at most 2000 characters"),
        ({"text": "a\ufffd"}, "text", "(U+FFFD)"),
        ({"text": "ΩΨ", "unknown": "skip"}, "text", "a character that the model knows"),
        ({"texts": ["a", "Ω"], "unknown": "skip"}, "texts[1]", "a character that the model knows"),
        ({"text": "a", "logprobs": 11}, "logprobs", "less than or equal to 10"),
        ({"text": "a", "length": 3}, "length", "unknown field"),
        ({"text": "a", "texts": ["a"]}, "texts", "together with text"),
        ({"texts": []}, "texts", "at least 1 item"),
        ({"texts": ["a"] * 10_001}, "texts", "at most 10000 items"),
        ({"texts": ["a"] * 12_000}, "body", "at most 11000 keys"),
        ({"texts": ["a", "b", ""]}, "texts", r"texts[2] must be a string of at least one"),
        ({"texts": ["a", None]}, "texts", r"texts[1] must be a string of at least one"),
        ({"texts": "a"}, "texts", "valid array"),
        ({"texts": ["a", "b", "c", "aZ", "Y"]}, "texts[3]", "'Z' (U+005A) at position 1"),
        ({"texts": ["a", "b\ufffd"]}, "texts[1]", "(U+FFFD) at position 1"),
        ({"texts": ["a", "b" * 2001]}, "texts[1]", "at most 2000 characters"),
        ({"texts": ["a" * 2000] * 11}, "texts", "at most 20000 characters together"),
        ({"texts": ["a"], "prime": "Z"}, "prime", "(U+005A)"),
        ({"texts": ["a"], "logprobs": 2}, "logprobs", "requires `detail`"),
        ({"text": "a", "detail": False, "logprobs": 2}, "logprobs", "requires `detail`"),
        ({"texts": ["a"], "detail": 1}, "detail", "valid boolean"),
    ],
)
def test_an_invalid_request_names_the_field(
    server: RunningServer, fields: dict[str, Any], field: str, message: str
) -> None:
    error = invalid_field(server, "/score", fields)
    assert error["field"] == field
    assert message in error["message"]


def test_unknown_characters_are_left_out_or_replaced(server: RunningServer) -> None:
    texts = ["a\u2019b", "abc", "cΩ", "Ωa"]
    skipped = score(server, texts=texts, prime="Ωa", unknown="skip")["scores"]
    assert skipped == score(server, texts=["ab", "abc", "c", "a"], prime="a")["scores"]
    folded = score(server, text="a\u2019b", unknown="fold")
    assert folded["characters"] == score(server, text="a'b")["characters"]
    with server.client() as client:
        detail = client.post("/score", json={"texts": texts}).json()["detail"]
    assert detail.startswith("texts[0]: ")
    assert detail.endswith('set "unknown" to "skip" or "fold"; so have texts[2], texts[3]')


@pytest.fixture(scope="module")
def busy(tiny_path: Path) -> Iterator[RunningServer]:
    """A server without a queue that accepts `LONG`."""
    limits = {"max_streams": "4", "max_queue": "0", "max_prime": "1000000"}
    with running_server(tiny_path, **limits) as running:
        yield running


def test_other_clients_get_their_slots_and_a_client_that_leaves_frees_its_own(
    server: RunningServer, busy: RunningServer
) -> None:
    expected = post(server, length=400)["text"]
    with ThreadPoolExecutor(1) as threads, busy.client() as client:
        bulk = threads.submit(_give_up, busy, seconds=3)
        wait_until(lambda: busy.gauge("charstream_streams_active") == 1, 10)
        for _ in range(10):
            generated = post(busy, length=400)
            assert generated["text"] == expected
            assert generated["timings"]["first_character_ms"] < 1000
        assert not bulk.done()
        bulk.result()
        wait_until(lambda: busy.gauge("charstream_streams_active") == 0, 10)
        assert client.post("/score", json={"texts": ["abc"]}).status_code == 200
    (line, *_) = busy.log("cancelled")
    assert "/score" in line


def test_too_many_scores_of_characters_are_refused(busy: RunningServer) -> None:
    fields = {"texts": ["a" * 2001] * 10, "detail": True, "logprobs": 10}
    error = invalid_field(busy, "/score", fields)
    assert error["field"] == "texts"
    assert error["value"] == "'20010 characters x (1 + 10)'"
    assert "must be at most 200000" in error["message"]


def test_a_text_that_takes_too_long_is_a_504(tiny_path: Path) -> None:
    limits = {"deadline_seconds": "0.05", "max_prime": "1000000"}
    with running_server(tiny_path, **limits) as hurried, hurried.client() as client:
        response = client.post("/score", json=LONG)
        assert response.status_code == 504
        assert response.json()["code"] == "deadline_exceeded"


def _give_up(server: RunningServer, seconds: float) -> None:
    """Request more than the server can score in time."""
    with server.client(seconds) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/score", content=json.dumps(LONG))
