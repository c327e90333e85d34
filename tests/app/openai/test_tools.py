"""Requests as benchmark and evaluation tools send them."""

from __future__ import annotations

from typing import Any

import pytest

from model.checkpoints.checkpoint import Checkpoint
from tests.app.openai.completion_requests import chunks, complete
from tests.server import RunningServer


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
def test_requests_of_benchmark_tools_succeed(server: RunningServer, fields: dict[str, Any]) -> None:
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


def test_a_tool_can_check_the_health_of_the_server_first(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/health").status_code == 200


def test_requests_of_an_evaluation_tool_succeed(server: RunningServer, tiny: Checkpoint) -> None:
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
