"""score_many: many texts, sent in requests of limited size."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.charstream_client import AsyncClient, Client, InvalidRequestError
from clients.charstream_client.batches import MAX_CHARACTERS, MAX_TEXTS, batches
from tests.server import RunningServer

lengths = st.lists(st.sampled_from([1, 2, 40_000, 100_000, 150_000]), max_size=8)


def test_the_scores_are_those_of_single_texts(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.charstream_client.batches.MAX_TEXTS", 3)
    texts = ["abc", "a", "hello (there)", "b", "cc", "abc", "d"]

    async def asynchronous() -> object:
        async with AsyncClient(server.url, trust_env=False) as client:
            return await client.score_many(iter(texts), prime="x")

    with Client(server.url, trust_env=False) as client:
        single = [client.score(text, prime="x", logprobs=1) for text in texts]
        summed = client.score_many(texts, prime="x")
        detailed = client.score_many(texts, detail=True, prime="x", logprobs=1)
        assert client.score_many([]) == []
    assert [one["characters"] for one in summed] == list(map(len, texts))
    assert [one["bits"] for one in summed] == [one["bits"] for one in single]
    assert [{**one, "model": single[0]["model"]} for one in detailed] == single
    assert asyncio.run(asynchronous()) == summed


@given(lengths, st.booleans(), st.sampled_from([0, 10]))
def test_batches_are_as_large_as_a_server_accepts(
    lengths: list[int], detail: bool, logprobs: int
) -> None:
    texts = ["a" * length for length in lengths]
    found = list(batches(texts, {"detail": detail, "logprobs": logprobs}))
    most = 200_000 // (1 + logprobs) if detail and logprobs else MAX_CHARACTERS
    assert [text for batch in found for text in batch] == texts
    for batch in found:
        assert len(batch) == 1 or sum(map(len, batch)) <= most
    for batch, following in pairwise(found):
        assert sum(map(len, batch)) + len(following[0]) > most


def test_a_batch_has_at_most_ten_thousand_texts() -> None:
    found = list(batches(("a" for _ in range(25_000)), {}))
    assert list(map(len, found)) == [MAX_TEXTS, MAX_TEXTS, 5000]


def test_an_error_names_the_position_of_the_text(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.charstream_client.batches.MAX_TEXTS", 3)
    with Client(server.url, trust_env=False) as client:
        for text, message in (("Z", "not in the model's vocabulary"), ("", "at least one")):
            with pytest.raises(InvalidRequestError, match=message) as caught:
                client.score_many(["a", "b", "c", "d", text])
            assert "texts[4]" in caught.value.detail
            assert "texts[4]" in caught.value.errors[0]["field"] + caught.value.errors[0]["message"]


def test_a_batch_is_sent_again_while_the_server_is_full(impatient: None) -> None:
    requests: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(json.loads(request.content))
        if len(requests) == 2:
            return httpx.Response(503, json={"code": "queue_full", "detail": ""})
        score = {"nats": 1.0, "bits": 1.4, "bits_per_character": 1.4, "characters": 1}
        return httpx.Response(200, json={"scores": [score] * len(requests[-1]["texts"])})

    with Client(transport=httpx.MockTransport(answer)) as client:
        assert len(client.score_many(["a"] * 10_001)) == 10_001
    assert [len(request["texts"]) for request in requests] == [10_000, 1, 1]
