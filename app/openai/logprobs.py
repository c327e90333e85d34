"""Logprobs and usage in OpenAI's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LogprobLists = dict[str, list[Any]]  # the fields of `schemas.Logprobs`


def usage_of(read: int, generated: int) -> dict[str, Any]:
    """Return the numbers of characters read and generated, in OpenAI's fields for tokens."""
    return {
        "prompt_tokens": read,
        "completion_tokens": generated,
        "total_tokens": read + generated,
    }


def logprobs_of(scores: Sequence[dict[str, Any]], offset: int, unscored: str = "") -> LogprobLists:
    """Return the logprobs of consecutive characters, with the fields of `schemas.Logprobs`.

    Args:
        scores: the fields of a `DrawnScore` per character.
        offset: position of the first character in the text.
        unscored: characters before the scored ones. They have no score, because the model had read
            nothing before them.
    """
    nothing = [None] * len(unscored)
    return {
        "tokens": [*unscored, *(score["token"] for score in scores)],
        "token_logprobs": [*nothing, *(score["logprob"] for score in scores)],
        "top_logprobs": [
            *nothing,
            *({**dict(score["top"]), score["token"]: score["logprob"]} for score in scores),
        ],
        "text_offset": list(range(offset, offset + len(unscored) + len(scores))),
    }


def joined(first: LogprobLists | None, second: LogprobLists | None) -> LogprobLists | None:
    """Return the logprobs of two consecutive pieces of text."""
    if first is None or second is None:
        return first or second
    return {name: first[name] + second[name] for name in first}
