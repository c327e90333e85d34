"""Streams of /v1/completions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import httpx_sse
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.openai import stream
from tests.app.api.generate_requests import post
from tests.app.openai.completion_requests import (
    PARAMS,
    generated_text,
    openai_client,
    wait_until_free,
)
from tests.server import RunningServer, running_server
from tests.waiting import wait_until


def test_the_openai_client_streams_one_character_per_chunk(
    client: openai.OpenAI, server: RunningServer
) -> None:
    stream = client.completions.create(
        **PARAMS, stream=True, stream_options={"include_usage": True}
    )
    *received, last = list(stream)
    assert [len(chunk.choices[0].text) for chunk in received] == [1] * 40
    assert "".join(chunk.choices[0].text for chunk in received) == generated_text(server, seed=7)
    reasons = [chunk.choices[0].finish_reason for chunk in received]
    assert reasons == [None] * 39 + ["length"]
    assert {chunk.usage for chunk in received} == {None}
    assert {chunk.id for chunk in received} == {last.id}
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 40


def test_a_client_that_disconnects_frees_the_slots_of_all_its_texts(tiny_path: Path) -> None:
    endless = {**PARAMS, "max_tokens": 1_000_000, "n": 3}
    limits = {"max_streams": "3", "max_queue": "0", "max_length": "1000000"}
    with running_server(tiny_path, **limits) as small, small.client() as http:
        for _ in range(3):
            with openai_client(small) as client:
                stream = client.completions.create(**endless, stream=True)
                next(iter(stream))
                with pytest.raises(openai.InternalServerError) as caught:
                    client.completions.create(**PARAMS)
                assert caught.value.status_code == 503
                assert caught.value.code == "queue_full"
                assert int(caught.value.response.headers["Retry-After"]) >= 1
                stream.close()
            wait_until_free(http, n=3)
        with pytest.raises(httpx.ReadTimeout):  # a reader of JSON that gives up
            http.post("/v1/completions", json={**endless, "max_tokens": 333_333}, timeout=0.3)
        wait_until_free(http, n=3)
        full = http.post("/v1/completions", json={**PARAMS, "n": 4})  # never fits
        assert full.status_code == 400
        wait_until_free(http, n=3)


def test_a_failed_stream_ends_with_an_error_instead_of_done(tiny_path: Path) -> None:
    limits = {"drain_seconds": "0.2", "max_length": "5000000"}
    endless = {**PARAMS, "max_tokens": 5_000_000, "n": 2, "stream": True}
    with running_server(tiny_path, **limits) as ending, ending.client() as client:
        with client.stream("POST", "/v1/completions", json=endless) as response:
            pieces = response.iter_raw()
            content = next(pieces)
            ending.process.terminate()
            content = (content + b"".join(pieces))[-1000:]
        assert ending.process.wait(20) == 0
    last = json.loads(content.rstrip().rpartition(b"data: ")[2])
    assert last["error"]["message"] == "the service is shutting down"
    assert last["error"]["code"] == "draining"


@pytest.mark.parametrize("path", ["/generate", "/v1/completions"])
def test_an_sse_library_reads_the_streams(server: RunningServer, path: str) -> None:
    fields: dict[str, Any] = {"seed": 7, "stream": True}
    fields |= {"prime": "abc", "length": 40} if path == "/generate" else PARAMS
    with (
        server.client() as client,
        httpx_sse.connect_sse(client, "POST", path, json=fields) as source,
    ):
        events = list(source.iter_sse())
    assert len(events) == 41
    if path == "/generate":
        text = "".join(event.json()["token"] for event in events[:-1])
        assert [event.id for event in events[:-1]] == [f"7-{n}" for n in range(1, 41)]
        assert text == post(server, length=40)["text"]
        assert events[-1].event == "done"
    else:
        assert "".join(e.json()["choices"][0]["text"] for e in events[:-1]) == generated_text(
            server, seed=7
        )


def test_chunks_are_plain_ascii(server: RunningServer) -> None:
    with server.client() as client:
        params = {**PARAMS, "max_tokens": 2000, "stream": True, "echo": True, "prompt": "漢\u2028"}
        assert client.post("/v1/completions", json=params).content.isascii()


@given(
    st.lists(st.lists(st.integers(0, 300), max_size=9), max_size=9),
    st.integers(1, 400),
)
def test_texts_take_turns_and_none_is_left_out(sizes: list[list[int]], most: int) -> None:
    """Each source has frames of some sizes, and returns one of them at a time."""
    sources: list[stream._Source] = [Source(number, sizes) for number, sizes in enumerate(sizes)]
    received = b""
    with patch.object(stream, "_MAX_FRAMES", most):
        while any(source.readable for source in sources):
            frames = stream._take_in_turn(sources)
            assert len(frames) < most + 300
            received += frames
    for number, own in enumerate(sizes):
        assert received.count(b"%d" % number) == sum(own)


def test_the_text_that_waits_for_longest_is_the_next_one() -> None:
    sources: list[stream._Source] = [Source(number, [1, 1]) for number in range(3)]
    with patch.object(stream, "_MAX_FRAMES", 2):
        assert [stream._take_in_turn(sources) for _ in range(3)] == [b"01", b"20", b"12"]


class Source:
    ended = False

    def __init__(self, number: int, sizes: list[int]) -> None:
        self._frames = [b"%d" % number * size for size in sizes]

    @property
    def readable(self) -> bool:
        return bool(self._frames)

    def take(self) -> bytes:
        return self._frames.pop()


def test_a_client_that_reads_late_gets_all_texts(tiny_path: Path) -> None:
    fields = {**PARAMS, "max_tokens": 5000, "n": 20, "logprobs": 2, "stream": True}
    with running_server(tiny_path) as server, server.client() as client:
        expected = client.post("/v1/completions", json={**fields, "n": 1, "stream": False}).json()
        texts = [""] * 20
        with client.stream("POST", "/v1/completions", json=fields) as response:
            wait_until(lambda: server.gauge("charstream_reader_pauses_total"))
            for event in httpx_sse.EventSource(response).iter_sse():
                if event.data != "[DONE]":
                    choice = event.json()["choices"][0]
                    texts[choice["index"]] += choice["text"]
    assert [len(text) for text in texts] == [5000] * 20
    assert texts[0] == expected["choices"][0]["text"]


def test_a_long_prompt_is_repeated_in_parts_of_one_text_at_a_time(tiny_path: Path) -> None:
    prompts = ["ab" * 20_000, "b", ""]
    params = {**PARAMS, "prompt": prompts, "max_tokens": 2, "n": 3, "echo": True, "stream": True}
    texts = [""] * 9
    with (
        running_server(tiny_path, max_prime="40000") as large,
        large.client() as client,
        httpx_sse.connect_sse(client, "POST", "/v1/completions", json=params) as events,
    ):
        for event in events.iter_sse():
            if event.data != "[DONE]":
                choice = event.json()["choices"][0]
                assert len(choice["text"]) <= 1 << 14
                texts[choice["index"]] += choice["text"]
    assert [text[:-2] for text in texts] == [prompt for prompt in prompts for _ in range(3)]
