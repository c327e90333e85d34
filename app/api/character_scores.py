"""Character scores: log-probabilities and alternatives as the endpoints report them."""

from __future__ import annotations

from typing import Any

from app.engine.chunk import Chunk
from model.vocabulary import Vocabulary

_DECIMALS = 6  # of logarithms and probabilities


def score_fields(vocabulary: Vocabulary, chunk: Chunk) -> list[dict[str, Any]]:
    """Return the fields of a `DrawnScore` per character, or nothing if there are no scores."""
    names = vocabulary.characters
    return [
        {
            "token": names[character],
            "logprob": round(score.logprob, _DECIMALS),
            "rank": score.rank,
            "entropy": round(score.entropy, _DECIMALS),
            "top": [[names[other], round(logprob, _DECIMALS)] for other, logprob in score.top],
            "probability": round(score.probability, _DECIMALS),
        }
        for character, score in zip(chunk.ids, chunk.scores, strict=False)
    ]
