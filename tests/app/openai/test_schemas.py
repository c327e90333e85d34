"""The fields of /v1/completions: defaults, and values that are refused."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.app.openai.completion_requests import PARAMS, complete, generated_text
from tests.server import RunningServer


def test_missing_and_null_fields_have_the_defaults_of_openai(server: RunningServer) -> None:
    with server.client() as client:
        nothing = client.post("/v1/completions", json={"seed": 7, "prompt": "abc"}).json()
    assert nothing["choices"][0]["text"] == generated_text(server, seed=7, length=16)
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
    assert complete(server, **nulls)["choices"][0]["text"] == generated_text(server, seed=7)


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported"),
        ({"frequency_penalty": -1}, "frequency_penalty", "send 0, got -1"),
        ({"repetition_penalty": 1.1}, "repetition_penalty", "send 1"),
        ({"logit_bias": {"500": 100}}, "logit_bias", "token ids must be from 0 to "),
        ({"logit_bias": {"5": -101}}, "logit_bias", "greater than or equal to -100"),
        ({"logit_bias": {"e": 1}}, "logit_bias", "logit_bias.e: the key must be a token id"),
        ({"guided_regex": "(a"}, "guided_regex", "is not a regular expression: missing )"),
        ({"structured_outputs": {"regex": r"(a)\1"}}, "structured_outputs", "a backreference"),
        ({"structured_outputs": {"json": {}}}, "structured_outputs", "unknown field"),
        (
            {"guided_regex": "a", "structured_outputs": {"regex": "a"}},
            "guided_regex",
            "contradicts structured_outputs.regex",
        ),
        ({"min_tokens": 5, "guided_regex": "a*"}, "min_tokens", "together with guided_regex"),
        ({"suffix": "abc"}, "suffix", "is not supported"),
        ({"bad_words": ["abc"]}, "bad_words", "send []"),
        ({"use_beam_search": True}, "use_beam_search", "send false"),
        ({"best_of": 4}, "best_of", "must be 1 or n"),
        ({"min_tokens": 5, "stop": "a"}, "min_tokens", "together with stop"),
        ({"min_tokens": 41}, "min_tokens", "at most max_tokens, which is 40, got 41"),
        ({"guided_json": "{}"}, "guided_json", "unknown field; expected one of model, prompt"),
        ({"max_tokens": 5001}, "max_tokens", "at most 5000"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"prompt": "Ж"}, "prompt", "U+0416"),
        ({"prompt": ["abc", "Ж"]}, "prompt", "prompt.1: characters"),
        ({"prompt": "a" * 2001}, "prompt", "at most 2000 characters"),
        ({"prompt": []}, "prompt", "a string, a list of strings"),
        ({"prompt": [1, 10**30]}, "prompt", "token ids must be from 0 to "),
        ({"prompt": ["a", 1]}, "prompt", "a string, a list of strings"),
        ({"n": 17}, "n", "at most 16"),
        ({"n": 16, "echo": True, "logprobs": 0}, "n", "scoring a prompt counts"),
        ({"n": 9, "prompt": ["a", "b"], "max_tokens": 0}, "n", "at most 16"),
        ({"prompt": ["a"] * 17, "max_tokens": 0}, "n", "at most 16"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"logprobs": 11}, "logprobs", "less than or equal to 10"),
        ({"seed": 2**63 - 1, "n": 2}, "seed", "seed + n - 1 must be at most"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_invalid_and_unsupported_fields_are_named(
    client: openai.OpenAI, fields: dict[str, Any], field: str, part: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/completions", body={**PARAMS, **fields, "stream": stream}, cast_to=object)
    assert caught.value.param == field
    assert caught.value.type == "invalid_request_error"
    assert part in str(caught.value)
