"""Scores: log-probabilities and alternatives of characters as the fields of a response."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from app.api.json_response import json_list
from app.engine.chunk import Chunk
from model.choice.scores import nats_of, scores_of
from model.text.vocabulary import Vocabulary

_DECIMALS = 6  # of logarithms and probabilities
_SLICE = 1000  # characters whose scores are objects at the same time


def score_fields(vocabulary: Vocabulary, chunk: Chunk) -> list[dict[str, Any]]:
    """Return the fields of a `DrawnScore` per character, or an empty list without scores."""
    if chunk.scores is None:
        return []
    names = vocabulary.characters
    rounded = np.round(chunk.scores, _DECIMALS)
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
        for character, score in zip(chunk.ids, scores_of(rounded), strict=True)
    ]


def score_slices(vocabulary: Vocabulary, text: Chunk) -> Iterator[list[dict[str, Any]]]:
    """Yield the score fields of a whole text, slice by slice."""
    if text.scores is None:
        return
    for first in range(0, len(text), _SLICE):
        last = first + _SLICE
        yield score_fields(vocabulary, Chunk(text.ids[first:last], text.scores[first:last]))


def text_score(vocabulary: Vocabulary, text: Chunk, detail: bool) -> dict[str, Any]:
    """Return the fields of the `TextScore` of a text, with the score of each character or not."""
    assert text.scores is not None
    characters: orjson.Fragment | int = len(text)
    if detail:
        characters = json_list(map(_without_probabilities, score_slices(vocabulary, text)))
    return {"characters": characters, **sums_of(nats_of(text.scores), len(text))}


def sums_of(nats: float, characters: int) -> dict[str, float]:
    """Return the sums of a `TextScore`."""
    bits = nats / math.log(2)
    return {"nats": nats, "bits": bits, "bits_per_character": bits / characters}


def _without_probabilities(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn the fields of `DrawnScore` into those of `CharacterScore`."""
    for score in scores:
        del score["probability"]
        score["top"] = [alternative[:2] for alternative in score["top"]]
    return scores
