"""Character scores: the fields of a response that hold log-probabilities and alternatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.api.json_pieces import SLICE
from app.engine.chunk import Chunk
from model.scores import scores_of
from model.vocabulary import Vocabulary

_DECIMALS = 6  # of logarithms and probabilities


def score_fields(vocabulary: Vocabulary, chunk: Chunk) -> list[dict[str, Any]]:
    """Return the fields of a `DrawnScore` per character, or an empty list without scores."""
    if chunk.scores is None:
        return []
    names = vocabulary.characters
    return [
        {
            "token": names[character],
            "logprob": round(score.logprob, _DECIMALS),
            "rank": score.rank,
            "entropy": round(score.entropy, _DECIMALS),
            "top": [
                [names[other], round(logprob, _DECIMALS), round(probability, _DECIMALS)]
                for other, logprob, probability in score.top
            ],
            "probability": round(score.probability, _DECIMALS),
        }
        for character, score in zip(chunk.ids, scores_of(chunk.scores), strict=True)
    ]


def score_slices(vocabulary: Vocabulary, text: Chunk) -> Iterator[list[dict[str, Any]]]:
    """Yield the score fields of a whole text, slice by slice."""
    if text.scores is None:
        return
    for first in range(0, len(text), SLICE):
        last = first + SLICE
        yield score_fields(vocabulary, Chunk(text.ids[first:last], text.scores[first:last]))
