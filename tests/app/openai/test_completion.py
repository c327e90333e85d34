"""Completions, as OpenAI's client and plain HTTP clients request them."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import QueueFullError
from app.middleware.request_log import RequestRecord
from app.openai.completion import Completion
from app.openai.prompts import prompts_of
from app.openai.request import CompletionRequest
from model.checkpoints.checkpoint import Checkpoint
from tests.app.api.generate_requests import post
from tests.app.engine.tiny_engine import running, service_of
from tests.app.openai.completion_requests import (
    PARAMS,
    chunks,
    complete,
    generated_text,
    streamed_text,
)
from tests.conftest import CHARACTERS
from tests.http_request import http_request
from tests.server import RunningServer


def test_the_openai_client_gets_the_text_of_the_seed(
    client: openai.OpenAI, server: RunningServer
) -> None:
    completion = client.completions.create(**PARAMS)
    (choice,) = completion.choices
    assert choice.text == generated_text(server, seed=7)
    assert choice.finish_reason == "length"
    assert choice.logprobs is None
    assert completion.object == "text_completion"
    assert completion.model == "tiny"
    assert completion.system_fingerprint == client.models.retrieve("tiny").model_extra["hash"]  # type: ignore[index]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 3
    assert completion.usage.completion_tokens == 40
    assert completion.usage.total_tokens == 43
    assert client.completions.create(**PARAMS).choices[0].text == choice.text
    assert client.completions.create(**{**PARAMS, "seed": 8}).choices[0].text != choice.text


async def test_the_async_openai_client_streams_several_texts_concurrently(
    server: RunningServer,
) -> None:
    transport = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key="none", http_client=transport
    ) as client:
        params: dict[str, Any] = {**PARAMS, "max_tokens": 5000}  # more than a buffer holds
        texts = {0: "", 1: "", 2: ""}
        order = []
        stream = await client.completions.create(**params, n=3, stream=True)
        async for chunk in stream:
            (choice,) = chunk.choices
            texts[choice.index] += choice.text
            order.append(choice.index)
        for index, text in texts.items():
            assert text == generated_text(server, seed=7 + index, length=5000)
        assert order != sorted(order), "no text waits for the end of another"
        whole = await client.completions.create(**params, n=3)
        assert {c.index: c.text for c in whole.choices} == texts


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
def test_each_of_several_texts_is_the_same_as_in_a_request_of_its_own(
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
    params = {
        "prompt": prompts,
        "n": n,
        "seed": seed,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": stop,
        "echo": echo,
        **filters,
    }
    whole = complete(server, **params)
    received = chunks(server, **params, stream_options={"include_usage": True})
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
        assert streamed_text(received, choice["index"]) == choice["text"]
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


def test_a_token_id_is_the_index_of_a_character_in_the_vocabulary(
    server: RunningServer, tiny: Checkpoint
) -> None:
    ids = [tiny.vocabulary.encode(text).tolist() for text in ("abc", "dd")]
    expected = complete(server, prompt=["abc", "dd"])["choices"]
    assert complete(server, prompt=ids)["choices"] == expected
    assert complete(server, prompt=ids[0])["choices"] == expected[:1]


async def test_texts_without_room_for_all_of_them_do_not_begin(tiny: Checkpoint) -> None:
    fields = {"prompt": ["abc", "a"], "n": 2, "echo": True, "logprobs": 0}
    request = CompletionRequest.model_validate(fields)  # four texts, and one that is scored
    http = http_request()
    record = RequestRecord.of(http.scope)

    for queue in (3, 4):
        async with running(tiny, slots=1, queue=queue) as engine:
            service = service_of(engine, tiny)
            prompts = await prompts_of(http, service, request)
            if queue == 3:
                with pytest.raises(QueueFullError, match=r"no room for 5 texts \(0 waiting\)"):
                    Completion(http, service, request, prompts)
                assert not record.generations
            else:
                Completion(http, service, request, prompts).cancel()
                assert len(record.generations) == 5
