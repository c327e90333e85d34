"""POST and GET /generate on a running server."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from tests.app.api.generate_requests import PARAMS, post, stream
from tests.conftest import CHARACTERS
from tests.events import parse_events, text_of
from tests.server import RunningServer


def test_a_text_has_the_requested_length_and_depends_on_its_seed(
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


def test_the_text_is_the_one_that_the_decoder_generates(
    server: RunningServer, tiny: Checkpoint
) -> None:
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
def test_a_stream_has_the_same_text_as_a_json_response(
    server: RunningServer, **fields: Any
) -> None:
    whole = post(server, **fields)
    *characters, done = stream(server, **fields)
    assert [event.name for event in characters] == ["message"] * fields["length"]
    assert text_of(characters) == whole["text"]
    ids = [f"{fields['seed']:x}-{n}" for n in range(1, fields["length"] + 1)]
    assert [event.id for event in characters] == ids
    assert done.name == "done"
    assert done.data.keys() == {"finish_reason", "seed", "usage", "timings", "model"}
    assert done.data["usage"]["generated_characters"] == fields["length"]


def test_a_post_streams_if_a_field_or_a_header_requests_it(server: RunningServer) -> None:
    text = post(server)["text"]
    ways: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"stream": True}, {}),
        ({}, {"Accept": "text/event-stream"}),
    ]
    for fields, headers in ways:
        with server.client() as client:
            response = client.post("/generate", json={**PARAMS, **fields}, headers=headers)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert text_of(parse_events(response.text.split("\n"))) == text


def test_frames_are_plain_ascii(server: RunningServer) -> None:
    with server.client() as client:
        content = client.get(
            "/generate", params={**PARAMS, "length": 3000, "top_k": "null"}
        ).content
    assert content.isascii()
    assert len(re.findall(rb"\n\n", content)) == 3001
    assert (
        text_of(parse_events(content.decode().split("\n")))
        == post(server, length=3000, top_k=None)["text"]
    )


def test_characters_arrive_while_the_text_is_generated(shipped: RunningServer) -> None:
    with (
        shipped.client() as client,
        client.stream("GET", "/generate", params={"length": 40_000}) as response,
    ):
        chunks = [len(chunk) for chunk in response.iter_raw()]
    assert len(chunks) > 10
    assert chunks[0] < sum(chunks) / 10


def test_an_empty_request_generates_a_text_with_the_defaults(server: RunningServer) -> None:
    with server.client() as client:
        first, second = (client.post("/generate", json={}).json() for _ in range(2))
        third = client.post("/generate").json()
    assert len(first["text"]) == len(third["text"]) == 200
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**32
    assert first["text"] == post(server, prime="\n", seed=first["seed"], length=200)["text"]


def test_a_body_is_json_whatever_its_content_type(server: RunningServer) -> None:
    with server.client() as client:
        for kind in ("application/x-www-form-urlencoded", "text/plain"):
            response = client.post(
                "/generate", content=b'{"length": 3}', headers={"Content-Type": kind}
            )
            assert len(response.json()["text"]) == 3


def test_top_k_1_and_temperature_0_give_the_same_text(server: RunningServer) -> None:
    texts = {post(server, top_k=1, seed=seed)["text"] for seed in range(3)}
    texts.add(post(server, temperature=0, top_k=None)["text"])
    texts.add(post(server, temperature=0, top_k=9, top_p=0.5, min_p=0.1)["text"])
    assert len(texts) == 1


def test_an_empty_prime_gives_the_text_after_a_newline(server: RunningServer) -> None:
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
    assert text_of(received) == body["text"]
    assert received[-1].data["finish_reason"] == "stop"
