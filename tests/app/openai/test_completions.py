"""/v1 as OpenAI's own client and the field's tools see it, against a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import Checkpoint
from tests.app.api.test_generate import post
from tests.conftest import CHARACTERS
from tests.server import RunningServer, running_server

ASK: dict[str, Any] = {"model": "tiny", "prompt": "abc", "max_tokens": 40, "seed": 7}


@contextmanager
def openai_client(server: RunningServer, key: str = "none") -> Iterator[openai.OpenAI]:
    transport = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=key, http_client=transport, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai_client(server) as client:
        yield client


def text_of(server: RunningServer, **fields: Any) -> str:
    """What /generate makes of the same wishes."""
    text: str = post(server, **{"length": 40, "top_k": None, **fields})["text"]
    return text


def complete(server: RunningServer, **fields: Any) -> dict[str, Any]:
    with server.client() as client:
        answer = client.post("/v1/completions", json={**ASK, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def chunks(server: RunningServer, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a stream that ends as it should."""
    wishes = {**ASK, **fields, "stream": True}
    with (
        server.client() as client,
        httpx_sse.connect_sse(client, "POST", "/v1/completions", json=wishes) as source,
    ):
        *events, last = [event.data for event in source.iter_sse()]
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


def spelled(received: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for chunk in received for choice in chunk["choices"]]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)


def test_the_official_client_gets_the_text_of_the_seed(
    client: openai.OpenAI, server: RunningServer
) -> None:
    completion = client.completions.create(**ASK)
    (choice,) = completion.choices
    assert choice.text == text_of(server, seed=7)
    assert choice.finish_reason == "length"
    assert choice.logprobs is None
    assert completion.object == "text_completion"
    assert completion.model == "tiny"
    assert completion.system_fingerprint == client.models.retrieve("tiny").model_extra["hash"]  # type: ignore[index]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 3
    assert completion.usage.completion_tokens == 40
    assert completion.usage.total_tokens == 43
    assert client.completions.create(**ASK).choices[0].text == choice.text
    assert client.completions.create(**{**ASK, "seed": 8}).choices[0].text != choice.text


def test_the_official_client_gets_it_as_a_stream_a_character_a_chunk(
    client: openai.OpenAI, server: RunningServer
) -> None:
    stream = client.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    *received, last = list(stream)
    assert [len(chunk.choices[0].text) for chunk in received] == [1] * 40
    assert "".join(chunk.choices[0].text for chunk in received) == text_of(server, seed=7)
    reasons = [chunk.choices[0].finish_reason for chunk in received]
    assert reasons == [None] * 39 + ["length"]
    assert {chunk.usage for chunk in received} == {None}
    assert {chunk.id for chunk in received} == {last.id}
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 40


def test_the_asynchronous_official_client_gets_several_texts_side_by_side(
    server: RunningServer,
) -> None:
    async def scenario() -> None:
        transport = openai.DefaultAsyncHttpxClient(trust_env=False)
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", http_client=transport
        ) as client:
            ask: dict[str, Any] = {**ASK, "max_tokens": 5000}  # more than may wait to be read
            texts = {0: "", 1: "", 2: ""}
            order = []
            stream = await client.completions.create(**ask, n=3, stream=True)
            async for chunk in stream:
                (choice,) = chunk.choices
                texts[choice.index] += choice.text
                order.append(choice.index)
            for index, text in texts.items():
                assert text == text_of(server, seed=7 + index, length=5000)
            assert order != sorted(order), "no text waits for another one's end"
            whole = await client.completions.create(**ask, n=3)
            assert {c.index: c.text for c in whole.choices} == texts

    asyncio.run(scenario())


@settings(max_examples=20, deadline=None)
@given(
    prompts=st.lists(st.text(st.sampled_from(CHARACTERS), max_size=12), min_size=1, max_size=3),
    n=st.integers(1, 3),
    seed=st.integers(0, 2**62),
    max_tokens=st.integers(1, 30),
    filters=st.fixed_dictionaries(
        {}, optional={"top_k": st.integers(1, 9), "min_p": st.floats(0, 1)}
    ),
    temperature=st.floats(0, 3),
    stop=st.sampled_from([[], ["a"], ["e", "b"]]),
    echo=st.booleans(),
)
def test_each_of_many_texts_is_the_one_that_a_request_for_it_alone_gets(
    server: RunningServer,
    prompts: list[str],
    n: int,
    seed: int,
    max_tokens: int,
    filters: dict[str, Any],
    temperature: float,
    stop: list[str],
    echo: bool,
) -> None:
    wishes = {
        "prompt": prompts,
        "n": n,
        "seed": seed,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": stop,
        "echo": echo,
        **filters,
    }
    whole = complete(server, **wishes)
    received = chunks(server, **wishes, stream_options={"include_usage": True})
    assert [choice["index"] for choice in whole["choices"]] == list(range(n * len(prompts)))
    for choice in whole["choices"]:
        prompt, own = prompts[choice["index"] // n], seed + choice["index"] % n
        alone = post(
            server,
            **{"top_k": None, **filters},
            prime=prompt,
            length=max_tokens,
            seed=own,
            temperature=temperature,
            stop=stop,
        )
        assert choice["text"] == prompt * echo + alone["text"]
        assert choice["finish_reason"] == alone["finish_reason"]
        assert choice["seed"] == own
        assert spelled(received, choice["index"]) == choice["text"]
    ends = [c for chunk in received for c in chunk["choices"] if c["finish_reason"]]
    assert sorted((c["index"], c["finish_reason"]) for c in ends) == [
        (c["index"], c["finish_reason"]) for c in whole["choices"]
    ]
    counted = ("prompt_tokens", "completion_tokens", "total_tokens")
    usages = [
        {name: usage[name] for name in counted} for usage in (whole["usage"], received[-1]["usage"])
    ]
    assert usages[0] == usages[1]
    assert usages[0]["prompt_tokens"] == len("".join(prompts))


@settings(max_examples=15, deadline=None)
@given(
    prompt=st.text(st.sampled_from(CHARACTERS), min_size=2, max_size=20),
    max_tokens=st.integers(0, 20),
    alternatives=st.integers(0, 3),
)
def test_logprobs_of_prompt_and_text_are_those_of_score(
    server: RunningServer, prompt: str, max_tokens: int, alternatives: int
) -> None:
    wishes = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "logprobs": alternatives,
        "echo": True,
        "stop": ["漢"],
    }
    choice = complete(server, **wishes)["choices"][0]
    told = choice["logprobs"]
    with server.client() as http:
        text = {"prime": prompt[0], "text": choice["text"][1:], "logprobs": alternatives}
        scored = http.post("/score", json=text).json()["characters"]
    assert told["tokens"] == list(choice["text"])
    assert told["text_offset"] == list(range(len(choice["text"])))
    assert told["token_logprobs"][0] is None
    assert told["top_logprobs"][0] is None
    for logprob, top, character in zip(
        told["token_logprobs"][1:], told["top_logprobs"][1:], scored, strict=True
    ):
        assert logprob == pytest.approx(character["logprob"], abs=1e-4)
        expected = dict(character["top"]) | {character["token"]: character["logprob"]}
        assert top == pytest.approx(expected, abs=1e-4)
    received = [chunk["choices"][0] for chunk in chunks(server, **wishes)]
    streamed = [piece["logprobs"] for piece in received if piece["logprobs"]]
    for name, values in told.items():
        assert [value for piece in streamed for value in piece[name]] == values


def test_logprobs_without_echo_are_of_the_text_alone(server: RunningServer) -> None:
    choice = complete(server, logprobs=1)["choices"][0]
    assert choice["logprobs"]["tokens"] == list(choice["text"])
    assert choice["logprobs"]["text_offset"] == list(range(40))


def test_a_token_is_a_character_and_its_id_the_place_in_the_vocabulary(
    server: RunningServer, tiny: Checkpoint
) -> None:
    ids = [tiny.vocabulary.encode(text).tolist() for text in ("abc", "dd")]
    expected = complete(server, prompt=["abc", "dd"])["choices"]
    assert complete(server, prompt=ids)["choices"] == expected
    assert complete(server, prompt=ids[0])["choices"] == expected[:1]


def test_what_is_left_out_or_null_is_as_with_openai(server: RunningServer) -> None:
    with server.client() as client:
        nothing = client.post("/v1/completions", json={"seed": 7, "prompt": "abc"}).json()
    assert nothing["choices"][0]["text"] == text_of(server, seed=7, length=16)
    nulls = dict.fromkeys(
        (
            "model",
            "temperature",
            "top_p",
            "n",
            "stop",
            "suffix",
            "logit_bias",
            "best_of",
            "user",
            "stream",
            "stream_options",
            "response_format",
        )
    )
    assert complete(server, **nulls)["choices"][0]["text"] == text_of(server, seed=7)


@pytest.mark.parametrize(
    "fields",
    [
        # What vLLM's `bench serve` sends, with its options for sampling and for random prompts.
        {
            "prompt": "abc",
            "repetition_penalty": 1.0,
            "max_tokens": 30,
            "logprobs": None,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
        },
        # Its older versions.
        {"prompt": "abc", "temperature": 0.0, "best_of": 1, "max_tokens": 30, "stream": True},
        # What guidellm sends.
        {
            "prompt": "abc",
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "max_tokens": 30,
            "stop": None,
            "ignore_eos": True,
        },
    ],
)
def test_the_requests_of_benchmark_tools_are_answered(
    server: RunningServer, fields: dict[str, Any]
) -> None:
    received = chunks(server, **fields)
    texts = [choice["text"] for chunk in received for choice in chunk["choices"]]
    assert [len(text) for text in texts] == [1] * 30, "who counts chunks counts tokens"
    options = fields.get("stream_options", {})
    if options.get("include_usage"):
        assert received[-1]["choices"] == []
        assert received[-1]["usage"]["prompt_tokens"] == 3
        assert received[-1]["usage"]["completion_tokens"] == 30
    if options.get("continuous_usage_stats"):
        counted = [chunk["usage"]["completion_tokens"] for chunk in received[:-1]]
        assert counted == list(range(1, 31))


def test_a_tool_that_asks_first_whether_the_server_is_there_is_told(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/health").status_code == 200


def test_the_requests_of_an_evaluation_tool_are_answered(
    server: RunningServer, tiny: Checkpoint
) -> None:
    """The language-model evaluation harness scores continuations by echo, as ids, in batches."""
    contexts, continuations = ["abc", "d"], ["defg", "hij"]
    wholes = [a + b for a, b in zip(contexts, continuations, strict=True)]
    body = complete(
        server,
        prompt=[tiny.vocabulary.encode(text).tolist() for text in wholes],
        temperature=0,
        max_tokens=1,
        logprobs=1,
        echo=True,
        seed=1234,
    )
    for choice, context, continuation in zip(body["choices"], contexts, continuations, strict=True):
        logprobs = choice["logprobs"]["token_logprobs"][len(context) : -1]
        with server.client() as client:
            scored = client.post("/score", json={"prime": context, "text": continuation}).json()
        assert sum(logprobs) == pytest.approx(-scored["nats"], abs=1e-4)
        for top in choice["logprobs"]["top_logprobs"][len(context) :]:
            assert top


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported"),
        ({"frequency_penalty": -1}, "frequency_penalty", "send 0, got -1"),
        ({"repetition_penalty": 1.1}, "repetition_penalty", "send 1"),
        ({"logit_bias": {"5": 100}}, "logit_bias", "send {}"),
        ({"suffix": "abc"}, "suffix", "is not supported"),
        ({"bad_words": ["abc"]}, "bad_words", "send []"),
        ({"use_beam_search": True}, "use_beam_search", "send false"),
        ({"best_of": 4}, "best_of", "must be 1 or n"),
        ({"min_tokens": 5, "stop": "a"}, "min_tokens", "together with stop"),
        ({"guided_regex": "a*"}, "guided_regex", "unknown field; expected one of model, prompt"),
        ({"max_tokens": 5001}, "max_tokens", "at most 5000"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"prompt": "Ж"}, "prompt", "U+0416"),
        ({"prompt": ["abc", "Ж"]}, "prompt", "prompt.1: characters"),
        ({"prompt": "a" * 2001}, "prompt", "at most 2000 characters"),
        ({"prompt": []}, "prompt", "a string, a list of strings"),
        ({"prompt": [1, 10**30]}, "prompt", "token ids must be in 0.."),
        ({"prompt": ["a", 1]}, "prompt", "a string, a list of strings"),
        ({"n": 17}, "n", "at most 16"),
        ({"n": 16, "echo": True, "logprobs": 0}, "n", "scoring a prompt counts"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"logprobs": 11}, "logprobs", "less than or equal to 10"),
        ({"seed": 2**63 - 1, "n": 2}, "seed", "plus n - 1 must be at most"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_would_change_the_text_and_is_not_supported_is_named(
    client: openai.OpenAI, fields: dict[str, Any], field: str, part: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/completions", body={**ASK, **fields, "stream": stream}, cast_to=object)
    assert caught.value.param == field
    assert caught.value.type == "invalid_request_error"
    assert part in str(caught.value)


def test_what_is_not_json_is_a_bad_request_too(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post("/v1/completions", content=b"{")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "malformed"
        large = client.post("/v1/completions", content=b" " * 10**6)
        assert large.status_code == 413
        assert large.json()["error"]["type"] == "invalid_request_error"


def test_the_loaded_model_is_listed_and_no_other_one_is_there(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "tiny"
    assert client.models.retrieve("tiny") == model
    assert model.model_extra is not None
    for name in (model.id, model.model_extra["hash"]):
        assert client.completions.create(**{**ASK, "model": name}).model == "tiny"
    for ask in (
        lambda: client.completions.create(**{**ASK, "model": "gpt-3.5-turbo-instruct"}),
        lambda: client.models.retrieve("gpt-3.5-turbo-instruct"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="send a prompt to /v1/completions"):
        client.chat.completions.create(model="tiny", messages=[])


def test_a_key_is_asked_for_where_there_are_keys(tiny_path: Path) -> None:
    with running_server(tiny_path, api_keys="right") as locked:
        with (
            openai_client(locked, "wrong") as client,
            pytest.raises(openai.AuthenticationError) as caught,
        ):
            client.completions.create(**ASK)
        assert caught.value.code == "invalid_api_key"
        with openai_client(locked, "right") as client:
            assert client.models.list().data[0].id == "tiny"
            assert len(client.completions.create(**ASK).choices[0].text) == 40


def test_a_client_that_goes_away_frees_the_slots_of_all_its_texts(tiny_path: Path) -> None:
    endless = {**ASK, "max_tokens": 1_000_000, "n": 3}
    limits = {"max_streams": "3", "max_queue": "0", "max_length": "1000000"}
    with running_server(tiny_path, **limits) as small, small.client() as http:
        for _ in range(3):
            with openai_client(small) as client:
                stream = client.completions.create(**endless, stream=True)
                next(iter(stream))
                with pytest.raises(openai.InternalServerError) as caught:
                    client.completions.create(**ASK)
                assert caught.value.status_code == 503
                assert caught.value.code == "queue_full"
                assert int(caught.value.response.headers["Retry-After"]) >= 1
                stream.close()
            wait_for_success(http, n=3)
        with pytest.raises(httpx.ReadTimeout):  # a reader of JSON that gives up
            http.post("/v1/completions", json=endless, timeout=0.3)
        wait_for_success(http, n=3)
        full = http.post("/v1/completions", json={**ASK, "n": 4})  # never fits
        assert full.status_code == 400
        wait_for_success(http, n=3)


def wait_for_success(client: httpx.Client, **fields: Any) -> None:
    for _ in range(400):
        if client.post("/v1/completions", json={**ASK, **fields}).status_code == 200:
            return
        asyncio.run(asyncio.sleep(0.03))
    raise AssertionError("the slots were not freed")


def test_a_stream_that_fails_ends_in_an_error_and_not_in_done(tiny_path: Path) -> None:
    limits = {"drain_seconds": "0.2", "max_length": "5000000"}
    endless = {**ASK, "max_tokens": 5_000_000, "n": 2, "stream": True}
    with running_server(tiny_path, **limits) as ending, ending.client() as client:
        with client.stream("POST", "/v1/completions", json=endless) as answer:
            pieces = answer.iter_raw()
            content = next(pieces)
            ending.process.terminate()
            content = (content + b"".join(pieces))[-1000:]
        assert ending.process.wait(20) == 0
    last = json.loads(content.rstrip().rpartition(b"data: ")[2])
    assert last["error"]["message"] == "the service is shutting down"
    assert last["error"]["code"] == "draining"


@pytest.mark.parametrize("path", ["/generate", "/v1/completions"])
def test_a_library_for_server_sent_events_reads_the_streams(
    server: RunningServer, path: str
) -> None:
    fields: dict[str, Any] = {"seed": 7, "stream": True}
    fields |= {"prime": "abc", "length": 40} if path == "/generate" else ASK
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
        assert "".join(e.json()["choices"][0]["text"] for e in events[:-1]) == text_of(
            server, seed=7
        )


def test_chunks_are_plain_ascii(server: RunningServer) -> None:
    with server.client() as client:
        wishes = {**ASK, "max_tokens": 2000, "stream": True, "echo": True, "prompt": "漢\u2028"}
        assert client.post("/v1/completions", json=wishes).content.isascii()
