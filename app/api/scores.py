"""Character scores: the fields of a response that hold log-probabilities and alternatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from app.api.json_pieces import SLICE
from app.engine.chunk import Chunk
from model.choice.scores import scores_of
from model.text.vocabulary import Vocabulary

_DECIMALS = 6  # of logarithms and probabilities


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
    for first in range(0, len(text), SLICE):
        last = first + SLICE
        yield score_fields(vocabulary, Chunk(text.ids[first:last], text.scores[first:last]))
