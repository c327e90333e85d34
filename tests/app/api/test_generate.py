"""POST and GET /generate against a running server."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.sampling import SamplingParams
from tests import events
from tests.conftest import CHARACTERS
from tests.server import RunningServer, running_server

ASK: dict[str, Any] = {"prime": "abc", "length": 120, "top_k": 5, "seed": 7}


def post(server: RunningServer, **fields: Any) -> dict[str, Any]:
    with server.client() as client:
        answer = client.post("/generate", json={**ASK, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def stream(
    server: RunningServer, last_event_id: str | None = None, **fields: Any
) -> list[events.Event]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    with (
        server.client() as client,
        client.stream("GET", "/generate", params={**ASK, **fields}, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events.parse_events(answer.iter_lines()))


def test_a_text_is_exactly_as_long_as_asked_and_the_same_for_its_seed(
    server: RunningServer,
) -> None:
    first, second, other = post(server), post(server), post(server, seed=8)
    assert len(first["text"]) == 120
    assert first["text"] == second["text"] != other["text"]
    assert first["id"] != second["id"]
    assert first["seed"] == 7
    assert first["finish_reason"] == "length"
    usage = {"prime_characters": 3, "cached_characters": 2, "generated_characters": 120}
    assert second["usage"] == usage
    assert first["model"].keys() == {"name", "hash"}
    timings = first["timings"]
    assert 0 <= timings["queue_ms"] <= timings["first_character_ms"] <= timings["total_ms"]
    assert timings["characters_per_second"] > 0


def test_the_text_is_what_the_decoder_writes(server: RunningServer, tiny: Checkpoint) -> None:
    with server.client() as client:
        precision = client.get("/info").json()["precision"]
    decoder = Decoder(tiny, 1, precision=precision)
    ids = decoder.generate(tiny.vocabulary.encode("abc"), 120, SamplingParams(), 7)
    assert post(server)["text"] == tiny.vocabulary.decode(ids)


@settings(max_examples=25, deadline=None)
@given(
    prime=st.text(st.sampled_from(CHARACTERS), max_size=30),
    length=st.integers(1, 60),
    seed=st.integers(0, 2**63 - 1),
    temperature=st.floats(0, 100),
    top_k=st.integers(1, 100),
)
def test_a_stream_spells_the_text_of_its_seed(server: RunningServer, **fields: Any) -> None:
    whole = post(server, **fields)
    *characters, done = stream(server, **fields)
    assert [event.name for event in characters] == ["message"] * fields["length"]
    assert events.spelled(characters) == whole["text"]
    ids = [f"{fields['seed']:x}-{n}" for n in range(1, fields["length"] + 1)]
    assert [event.id for event in characters] == ids
    assert done.name == "done"
    assert done.data.keys() == {"finish_reason", "seed", "usage", "timings", "model"}
    assert done.data["usage"]["generated_characters"] == fields["length"]


def test_a_post_streams_when_asked_by_field_or_header(server: RunningServer) -> None:
    text = post(server)["text"]
    ways: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"stream": True}, {}),
        ({}, {"Accept": "text/event-stream"}),
    ]
    for fields, headers in ways:
        with server.client() as client:
            answer = client.post("/generate", json={**ASK, **fields}, headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert events.spelled(events.parse_events(answer.text.split("\n"))) == text


def test_frames_are_plain_ascii(server: RunningServer) -> None:
    with server.client() as client:
        content = client.get("/generate", params={**ASK, "length": 3000, "top_k": "null"}).content
    assert content.isascii()
    assert len(re.findall(rb"\n\n", content)) == 3001
    assert (
        events.spelled(events.parse_events(content.decode().split("\n")))
        == post(server, length=3000, top_k=None)["text"]
    )


def test_characters_arrive_as_they_are_made(shipped: RunningServer) -> None:
    with (
        shipped.client() as client,
        client.stream("GET", "/generate", params={"length": 40_000}) as answer,
    ):
        chunks = [len(chunk) for chunk in answer.iter_raw()]
    assert len(chunks) > 10
    assert chunks[0] < sum(chunks) / 10


def test_texts_are_the_same_in_a_crowd_larger_than_the_slots(server: RunningServer) -> None:
    expected = {seed: post(server, seed=seed, length=300)["text"] for seed in range(16)}
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda seed: post(server, seed=seed, length=300)["text"], range(16)))
    assert texts == list(expected.values())


def test_nothing_asked_is_a_text_all_the_same(server: RunningServer) -> None:
    with server.client() as client:
        first, second = (client.post("/generate", json={}).json() for _ in range(2))
        third = client.post("/generate").json()
    assert len(first["text"]) == len(third["text"]) == 200
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**32
    assert first["text"] == post(server, prime="\n", seed=first["seed"], length=200)["text"]


def test_a_body_counts_as_json_whatever_it_is_called(server: RunningServer) -> None:
    with server.client() as client:
        for kind in ("application/x-www-form-urlencoded", "text/plain"):
            answer = client.post(
                "/generate", content=b'{"length": 3}', headers={"Content-Type": kind}
            )
            assert len(answer.json()["text"]) == 3


def test_top_k_1_and_temperature_0_are_the_most_likely(server: RunningServer) -> None:
    texts = {post(server, top_k=1, seed=seed)["text"] for seed in range(3)}
    texts.add(post(server, temperature=0, top_k=None)["text"])
    texts.add(post(server, temperature=0, top_k=9, top_p=0.5, min_p=0.1)["text"])
    assert len(texts) == 1


def test_an_empty_prime_starts_as_after_a_new_line(server: RunningServer) -> None:
    empty = post(server, prime="")
    assert empty["text"] == post(server, prime="\n")["text"]
    assert empty["usage"]["prime_characters"] == 0


def test_unknown_characters_can_be_skipped(server: RunningServer) -> None:
    skipped = post(server, prime="aЖbZ\ncЖ", unknown="skip")
    assert skipped["text"] == post(server, prime="ab\nc")["text"]
    assert skipped["usage"]["prime_characters"] == 4
    assert post(server, prime="Ж", unknown="skip")["text"] == post(server, prime="")["text"]


def test_a_text_ends_before_a_stop_string(server: RunningServer) -> None:
    whole = post(server, length=200)["text"]
    stop = whole[100:103]
    body = post(server, length=200, stop=["Ж", stop])
    assert body["text"] == whole[: whole.index(stop)]
    assert body["finish_reason"] == "stop"
    assert body["usage"]["generated_characters"] == len(body["text"])
    assert post(server, length=200, stop=stop)["text"] == body["text"], "one needs no list"
    received = stream(server, length=200, stop=[stop])
    assert events.spelled(received) == body["text"]
    assert received[-1].data["finish_reason"] == "stop"


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 119))
def test_a_stream_goes_on_after_the_last_event_that_was_received(
    server: RunningServer, cut: int
) -> None:
    whole = stream(server)
    with (
        server.client() as client,
        client.stream(
            "GET",
            "/generate",
            params={"prime": "abc", "length": 120},
            headers={"Last-Event-ID": f"7-{cut}"},
        ) as answer,
    ):
        rest = list(events.parse_events(answer.iter_lines()))
    assert [(e.id, e.data) for e in rest[:-1]] == [(e.id, e.data) for e in whole[cut:-1]]
    assert rest[-1].data["usage"] == whole[-1].data["usage"]


def test_after_the_last_character_there_is_nothing_to_go_on_with(server: RunningServer) -> None:
    text = post(server)["text"]
    stopped = text[: text.index(text[100:103])]
    with server.client() as client:
        for position in (120, 121, 10**17):
            headers = {"Last-Event-ID": f"7-{position}"}
            assert client.get("/generate", params=ASK, headers=headers).status_code == 204
        answer = client.get(
            "/generate",
            params={**ASK, "stop": text[100:103]},
            headers={"Last-Event-ID": f"7-{len(stopped)}"},
        )
        assert answer.status_code == 204


@pytest.mark.parametrize(
    "event_id",
    [
        "7",
        "-5",
        "7-",
        "xyz-5",
        "7-5-3",
        "7-٣",
        "7--1",
        "A-1",
        "7-0",
        "7-05",
        "07-5",
        "ffffffffffffffff-5",
        "7-" + "9" * 30,
    ],
)
def test_a_malformed_event_id_is_refused(server: RunningServer, event_id: str) -> None:
    with server.client() as client:
        headers = [(b"Last-Event-ID", event_id.encode())]
        answer = client.get("/generate", params=ASK, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Last-Event-ID: ")


def test_a_seed_that_contradicts_the_event_id_is_refused(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.get("/generate", params=ASK, headers={"Last-Event-ID": "8-5"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "seed: contradicts the Last-Event-ID, whose seed is 8, got 7"


def test_what_is_wrong_is_said_even_after_the_last_character(server: RunningServer) -> None:
    with server.client() as client:
        for fields in ({"seed": 8}, {"prime": "Ж"}, {"length": 5001}):
            answer = client.get(
                "/generate", params={**ASK, **fields}, headers={"Last-Event-ID": "7-9999"}
            )
            assert answer.status_code == 422


def test_clients_that_go_away_free_their_slots(tiny_path: Path) -> None:
    endless = {"length": 1_000_000}
    with (
        running_server(tiny_path, max_streams="2", max_queue="0", max_length="1000000") as small,
        small.client() as client,
        ThreadPoolExecutor(2) as readers,
    ):
        for _ in range(3):
            leave = Event()
            reading = [Event(), Event()]
            for begun in reading:
                readers.submit(_read_until, small, endless, begun, leave)
            assert all(begun.wait(10) for begun in reading)
            full = client.post("/generate", json=ASK)
            assert full.status_code == 503
            assert full.json()["code"] == "queue_full"
            assert int(full.headers["Retry-After"]) >= 1
            leave.set()
            _wait_for_success(client)
        for _ in range(3):  # a reader of JSON that gives up
            with pytest.raises(httpx.ReadTimeout):
                client.post("/generate", json=endless, timeout=0.3)
        _wait_for_success(client)


def _read_until(server: RunningServer, fields: dict[str, Any], begun: Event, leave: Event) -> None:
    with server.client() as client, client.stream("GET", "/generate", params=fields) as answer:
        for _ in answer.iter_raw():
            begun.set()
            if leave.is_set():
                return


def _wait_for_success(client: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while client.post("/generate", json=ASK).status_code != 200:
        assert time.monotonic() < deadline, "the slots were not freed"
        time.sleep(0.05)
