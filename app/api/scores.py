"""Scores: log-probabilities and alternatives of characters as the fields of a response."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from app.api.json_response import json_list
from app.engine.chunk import Chunk
from model.choice.scores import Score, nats_of, scores_of
from model.text.vocabulary import Vocabulary

_DECIMALS = 6  # of logarithms and probabilities
_SLICE = 1000  # characters whose scores are objects at the same time


def score_fields(vocabulary: Vocabulary, chunk: Chunk) -> list[dict[str, Any]]:
    """Return the fields of a `DrawnScore` per character, or an empty list without scores."""
    if chunk.scores is None:
        return []
    names = vocabulary.characters
    return [
        {
            "token": names[character],
            "logprob": score.logprob,
            "rank": score.rank,
            "entropy": score.entropy,
            "top": [
                [names[other], logprob, probability] for other, logprob, probability in score.top
            ],
            "probability": score.probability,
        }
        for character, score in zip(chunk.ids, _rounded(chunk), strict=True)
    ]


def score_slices(vocabulary: Vocabulary, text: Chunk) -> Iterator[list[dict[str, Any]]]:
    """Yield the score fields of a whole text, slice by slice."""
    return (score_fields(vocabulary, part) for part in _slices(text))


def text_score(vocabulary: Vocabulary, text: Chunk, detail: bool) -> dict[str, Any]:
    """Return the fields of the `TextScore` of a text, with the score of each character or not."""
    assert text.scores is not None
    characters: orjson.Fragment | int = len(text)
    if detail:
        characters = json_list(_character_scores(vocabulary, part) for part in _slices(text))
    return {"characters": characters, **sums_of(nats_of(text.scores), len(text))}


def sums_of(nats: float, characters: int) -> dict[str, float]:
    """Return the sums of a `TextScore`."""
    bits = nats / math.log(2)
    return {"nats": nats, "bits": bits, "bits_per_character": bits / characters}


@functools.lru_cache(maxsize=64)
def quoted_characters(vocabulary: Vocabulary) -> list[str]:
    """Return the JSON of each character of a vocabulary. The result is cached."""
    return [json.dumps(character) for character in vocabulary.characters]


def _slices(text: Chunk) -> Iterator[Chunk]:
    """Yield the parts of a text that has scores, so that few objects exist at the same time."""
    if text.scores is not None:
        for first in range(0, len(text), _SLICE):
            last = first + _SLICE
            yield Chunk(text.ids[first:last], text.scores[first:last])


def _character_scores(vocabulary: Vocabulary, text: Chunk) -> list[dict[str, Any]]:
    """Return the fields of a `CharacterScore` per character."""
    names = vocabulary.characters
    return [
        {
            "token": names[character],
            "logprob": score.logprob,
            "rank": score.rank,
            "entropy": score.entropy,
            "top": [(names[other], logprob) for other, logprob, _ in score.top],
        }
        for character, score in zip(text.ids, _rounded(text), strict=True)
    ]


def _rounded(text: Chunk) -> Iterator[Score]:
    assert text.scores is not None
    return scores_of(np.round(text.scores, _DECIMALS))
