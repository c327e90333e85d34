"""Scores: the log-probability of each character, with its rank, its entropy and alternatives.

Shape letters: k characters, S streams, V vocabulary, N alternatives, D = 4 + 2N numbers of a score.
A row has the logprob, the rank, the entropy, the probability, N ids and their N logprobs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ScoreRows = npt.NDArray[np.float64]

MOST_ALTERNATIVES = 10


class Score(NamedTuple):
    """The score of one character.

    All fields except `probability` describe the network's own distribution, before temperature and
    filters.
    """

    logprob: float  # natural logarithm of the character's probability
    rank: int  # 1 for the most likely character
    entropy: float  # entropy of the distribution, in nats
    probability: float  # probability of the character after temperature and filters
    top: tuple[tuple[int, float], ...]  # the most likely ids and their logprobs


def scores_of(rows_kD: ScoreRows, alternatives: int) -> list[Score]:
    """Return the scores of one stream's characters.

    Args:
        rows_kD: rows of a backend, with at least `alternatives` alternatives.
        alternatives: number of alternatives to return.
    """
    available = (rows_kD.shape[1] - 4) // 2
    return [
        Score(
            logprob=row[0],
            rank=int(row[1]),
            entropy=row[2],
            probability=row[3],
            top=tuple(zip(map(int, row[4 : 4 + alternatives]), row[4 + available :], strict=False)),
        )
        for row in rows_kD.tolist()
    ]
