"""Log-probabilities of /v1/completions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.openai.completion_requests import chunks, complete
from tests.conftest import CHARACTERS
from tests.server import RunningServer


@settings(max_examples=15, deadline=None)
@given(
    prompt=st.text(st.sampled_from(CHARACTERS), min_size=2, max_size=20),
    max_tokens=st.integers(0, 20),
    alternatives=st.integers(0, 3),
)
def test_logprobs_of_prompt_and_text_are_the_same_as_from_score(
    server: RunningServer, prompt: str, max_tokens: int, alternatives: int
) -> None:
    params = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "logprobs": alternatives,
        "echo": True,
        "stop": ["漢"],
    }
    choice = complete(server, **params)["choices"][0]
    logprobs = choice["logprobs"]
    with server.client() as http:
        text = {"prime": prompt[0], "text": choice["text"][1:], "logprobs": alternatives}
        scored = http.post("/score", json=text).json()["characters"]
    assert logprobs["tokens"] == list(choice["text"])
    assert logprobs["text_offset"] == list(range(len(choice["text"])))
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    for logprob, top, character in zip(
        logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], scored, strict=True
    ):
        assert logprob == pytest.approx(character["logprob"], abs=1e-4)
        expected = dict(character["top"]) | {character["token"]: character["logprob"]}
        assert top == pytest.approx(expected, abs=1e-4)
    received = [chunk["choices"][0] for chunk in chunks(server, **params)]
    streamed = [piece["logprobs"] for piece in received if piece["logprobs"]]
    for name, values in logprobs.items():
        assert [value for piece in streamed for value in piece[name]] == values


def test_logprobs_without_echo_cover_only_the_generated_text(server: RunningServer) -> None:
    choice = complete(server, logprobs=1)["choices"][0]
    assert choice["logprobs"]["tokens"] == list(choice["text"])
    assert choice["logprobs"]["text_offset"] == list(range(40))


def test_a_long_prompt_is_streamed_in_order_with_its_logprobs(server: RunningServer) -> None:
    params = {"prompt": "ab c" * 500, "max_tokens": 3, "n": 2, "echo": True, "logprobs": 2}
    received = [chunk["choices"][0] for chunk in chunks(server, **params)]
    for choice in complete(server, **params)["choices"]:
        pieces = [piece for piece in received if piece["index"] == choice["index"]]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        for name, values in choice["logprobs"].items():
            streamed = [piece["logprobs"][name] for piece in pieces if piece["logprobs"]]
            assert [value for values in streamed for value in values] == values
