"""The field `pattern` of /generate and its names under /v1, on a running server."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.patterns.pattern import compile_pattern
from tests.app.api.generate_requests import PARAMS, post, stream
from tests.app.api.test_hold_and_logit_bias import HOLD
from tests.app.openai.completion_requests import chunks, complete, streamed_text
from tests.events import text_of
from tests.server import RunningServer
from tests.sockets import connected
from tests.waiting import wait_until

NAME = "[A-H][a-z]{2,9}(?: [A-H][a-z]{2,9})*"
PATTERNS = [NAME, "[a-z]+", r"[^\n]*", "(?:no|yes)?", "(?:[a-e ]{5}\n){3}", "", "[a-z]{200}"]
HOSTILE = [
    "(a|b)*a(a|b){40}",
    "((a+)+)+b",
    "a{1,100000}",
    "(?:(?:a{1,300}){1,300}){1,300}",
    "(.{0,70}){0,70}",
    "(?:" + "a*b*c*d*" * 600 + "){2}",
    "|".join(f"word{'abc'[n % 3]}{'d' * (n % 60)}" for n in range(1500)),
    "(" * 4000 + "a" + ")" * 4000,
    "(?=a)b",
    r"(a)\1",
    "a++",
    "(a",
    "Ж",
]


def refusal(server: RunningServer, path: str, **fields: object) -> httpx.Response:
    with server.client() as client:
        return client.post(path, json=fields)


def test_the_text_is_the_one_of_a_decoder_with_the_pattern(
    server: RunningServer, tiny: Checkpoint
) -> None:
    with server.client() as client:
        decoder = Decoder(tiny, 1, precision=client.get("/info").json()["precision"])
    for seed, pattern in enumerate(PATTERNS):
        params = SamplingParams(pattern=compile_pattern(pattern, tiny.vocabulary))
        ids = decoder.generate(tiny.vocabulary.encode("abc"), 120, params, seed)
        body = post(server, pattern=pattern, seed=seed)
        assert body["text"] == tiny.vocabulary.decode(ids)
        assert body["usage"]["generated_characters"] == len(ids)
        matches = re.fullmatch(pattern, body["text"]) is not None
        assert (body["finish_reason"] == "pattern") <= matches
        assert (body["finish_reason"] == "length") == (len(ids) == 120)


@settings(max_examples=40)
@given(
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 1000),
    position=st.integers(1, 60),
    scored=st.booleans(),
    stop=st.sampled_from([[], ["e"], ["\n", "an"]]),
)
def test_a_text_is_the_same_whole_streamed_resumed_and_scored(
    server: RunningServer, pattern: str, seed: int, position: int, scored: bool, stop: list[str]
) -> None:
    fields: dict[str, Any] = {"pattern": pattern, "seed": seed, "stop": stop}
    whole = post(server, **fields, hold=[{"layer": 1, "cell": 3, "value": 2}])
    fields["hold"] = ["1:3:2"]
    scores: dict[str, Any] = {"logprobs": 1} if scored else {}
    if pattern:  # an empty value in a query string stands for null
        events = stream(server, **fields, **scores)
        assert text_of(events) == whole["text"]
        assert events[-1].data["finish_reason"] == whole["finish_reason"]
        if scored:
            probabilities = [event.data["probability"] for event in events[:-1]]
            assert all(0 < probability <= 1 for probability in probabilities)
    headers = {"Last-Event-ID": f"{seed:x}-{position}", "Accept": "text/event-stream"}
    body = {**PARAMS, "pattern": pattern, "seed": seed, "stop": stop, **scores}
    body["hold"] = [{"layer": 1, "cell": 3, "value": 2}]
    with server.client() as client:
        response = client.post("/generate", json=body, headers=headers)
    if position >= len(whole["text"]):
        assert response.status_code == 204
    else:
        assert response.text.count('data: {"token"') == len(whole["text"]) - position


def test_a_stop_string_ends_a_text_before_its_pattern_does(server: RunningServer) -> None:
    free = post(server, pattern="[a-z]{50}", length=50)
    assert free["finish_reason"] == "pattern"
    stop = free["text"][20:23]
    body = post(server, pattern="[a-z]{50}", length=50, stop=[stop])
    assert body["finish_reason"] == "stop"
    assert body["text"] == free["text"][: free["text"].index(stop)]
    assert post(server, pattern="[a-z]{50}", length=49)["finish_reason"] == "length"


def test_free_held_and_patterned_texts_do_not_change_each_other(server: RunningServer) -> None:
    patterns = [{"pattern": pattern} for pattern in PATTERNS]
    requests: list[dict[str, Any]] = [
        {"seed": seed, "length": 300, "hold": HOLD[: seed % 3], **fields}
        for seed, fields in enumerate([{}, *patterns] * 3)
    ]
    alone = [post(server, **fields)["text"] for fields in requests]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda fields: post(server, **fields)["text"], requests))
    assert together == alone


def test_a_pattern_begins_after_the_prime_and_uses_its_cached_state(server: RunningServer) -> None:
    prime = "a prime that only this test has"
    first = post(server, prime=prime, pattern=NAME)
    again = post(server, prime=prime, pattern=NAME)
    assert again["text"] == first["text"]
    assert again["usage"]["cached_characters"] == len(prime) - 1


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_is_answered_soon(server: RunningServer, pattern: str) -> None:
    began = time.monotonic()
    response = refusal(server, "/generate", pattern=pattern, length=5)
    assert response.status_code in (200, 422)
    assert time.monotonic() - began < 5  # a second on an idle machine
    if response.status_code == 422:
        (error,) = response.json()["errors"]
        assert error["field"] == "pattern"


def test_hostile_patterns_let_other_requests_through(server: RunningServer) -> None:
    ended = threading.Event()

    def attack(number: int) -> None:
        while not ended.is_set():
            refusal(server, "/generate", pattern=f"(a|b)*a(a|b){{40}}{number}{time.monotonic_ns()}")

    with ThreadPoolExecutor(4) as pool:
        attacks = [pool.submit(attack, number) for number in range(4)]
        began = time.monotonic()
        for seed in range(20):
            post(server, pattern=f"[a-z]{{{seed + 1},40}}", seed=seed)
        ended.set()
        assert time.monotonic() - began < 10
    for future in attacks:
        future.result()


def test_completions_take_patterns_in_the_forms_of_vllm(server: RunningServer) -> None:
    forms: list[dict[str, Any]] = [
        {"guided_regex": NAME},
        {"structured_outputs": {"regex": NAME, "json": None}},
    ]
    for form in forms:
        body = complete(server, **form, n=3, echo=True, logprobs=1, max_tokens=60)
        received = chunks(server, **form, n=3, max_tokens=60)
        for choice in body["choices"]:
            text = choice["text"].removeprefix("abc")
            seed = 7 + choice["index"]
            own = post(server, pattern=NAME, seed=seed, length=60, top_k=None)
            assert text == own["text"] == streamed_text(received, choice["index"])
            expected = "stop" if own["finish_reason"] == "pattern" else "length"
            assert choice["finish_reason"] == expected
            assert len(choice["logprobs"]["tokens"]) == len(choice["text"])
    assert complete(server, guided_regex=None, structured_outputs=None) is not None


FIELDS = {"/generate": "pattern", "/v1/completions": "guided_regex"}


def patterns_of(server: RunningServer, path: str, address: str) -> contextlib.ExitStack:
    """Send many slow patterns of one client. They are left at the end of the block."""
    with contextlib.ExitStack() as stack:
        for number in range(80):
            body = json.dumps({FIELDS[path]: f"(a|b)*a(a|b){{{number % 5}}}[a-e]{{{number},99}}"})
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n"
            sent = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
            stack.enter_context(connected(server, sent))
        return stack.pop_all()


@pytest.mark.parametrize("path", FIELDS)
def test_a_client_with_many_patterns_does_not_keep_others_from_using_theirs(
    server: RunningServer, path: str
) -> None:
    with patterns_of(server, path, "10.0.0.1"), server.client() as client:
        body, headers = {FIELDS[path]: f"[a-e]{{{len(path)}}}"}, {"X-Forwarded-For": "10.0.0.2"}
        wait_until(lambda: client.post(path, json=body, headers=headers).status_code == 200)
