"""Logprobs and usage in OpenAI's format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import orjson

from app.api.json_response import encoded_items, joined_items

LogprobLists = dict[str, list[Any]]  # the fields of `schemas.Logprobs`


def usage_of(read: int, generated: int) -> dict[str, Any]:
    """Return the numbers of characters read and generated, in OpenAI's fields for tokens."""
    return {
        "prompt_tokens": read,
        "completion_tokens": generated,
        "total_tokens": read + generated,
    }


def logprobs_of(scores: Sequence[dict[str, Any]], offset: int, unscored: str = "") -> LogprobLists:
    """Return the logprobs of characters from position `offset` of the text.

    The scores are the fields of `DrawnScore`. The `unscored` characters before them have no score,
    because the model had read nothing.
    """
    nothing = [None] * len(unscored)
    return {
        "tokens": [*unscored, *(score["token"] for score in scores)],
        "token_logprobs": [*nothing, *(score["logprob"] for score in scores)],
        "top_logprobs": [*nothing, *(_top_logprobs(score) for score in scores)],
        "text_offset": list(range(offset, offset + len(unscored) + len(scores))),
    }


def _top_logprobs(score: dict[str, Any]) -> dict[str, float]:
    top = {token: logprob for token, logprob, _ in score["top"]}
    return {**top, score["token"]: score["logprob"]}


def encode_logprobs(
    slices: Iterable[Sequence[dict[str, Any]]], unscored: str
) -> dict[str, orjson.Fragment]:
    """Return the logprobs of a whole text, whose scores come slice by slice, see `logprobs_of`."""
    lists: dict[str, list[bytes]] = {name: [] for name in logprobs_of([], 0)}
    offset = 0
    for scores in chain([()], slices):
        logprobs = logprobs_of(scores, offset, unscored)
        offset, unscored = offset + len(logprobs["tokens"]), ""
        for name, values in logprobs.items():
            lists[name] += [encoded_items(values)] if values else []
    return {name: joined_items(parts) for name, parts in lists.items()}
