"""Scores: the log-probability of each character, with its rank, its entropy and alternatives.

Shape letters: k characters, S streams, V vocabulary, N alternatives, D = 4 + 3N numbers of a score.
A row has the logprob, the rank, the entropy, the probability, N ids, their N logprobs and their N
probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
ScoreRows = Numbers

UNITS = 1e6  # of a sum of logprobs, per nat

MAX_ALTERNATIVES = 10


class Alternative(NamedTuple):
    """One of the most likely characters at a position."""

    id: int
    logprob: float  # before temperature and filters
    probability: float  # after them


class Score(NamedTuple):
    """The score of one character.

    All fields except the probabilities describe the network's own distribution, before temperature
    and filters.
    """

    logprob: float  # natural logarithm of the character's probability
    rank: int  # 1 for the most likely character
    entropy: float  # entropy of the distribution, in nats
    probability: float  # probability of the character after temperature and filters
    top: tuple[Alternative, ...]  # the most likely characters


def in_units(logprobs: Numbers) -> Numbers:
    """Return logprobs as whole numbers of units.

    Responses show six decimals of a logprob. Sums of whole numbers have no rounding errors, so they
    do not depend on how a text was split.
    """
    return np.rint(logprobs * UNITS)


def nats_of(rows_kD: ScoreRows) -> float:
    """Return the negative sum of the logprobs of a text."""
    return float(in_units(rows_kD[:, 0]).sum() / -UNITS) + 0.0  # never -0


def with_alternatives(rows_kD: ScoreRows, alternatives: int) -> ScoreRows:
    """Return a copy of rows that has at most `alternatives` alternatives, the most likely ones."""
    available = _alternatives_of(rows_kD)
    kept = min(alternatives, available)
    columns_k3N = rows_kD[:, 4:].reshape(len(rows_kD), 3, available)
    kept_kM = columns_k3N[:, :, :kept].reshape(len(rows_kD), 3 * kept)
    return np.hstack([rows_kD[:, :4], kept_kM])


def all_logprobs(rows_SD: ScoreRows) -> Numbers:
    """Return the logprobs of all characters, (S, V), from rows with V alternatives."""
    size = _alternatives_of(rows_SD)
    logprobs_SV = np.empty((len(rows_SD), size))
    ids_SV = rows_SD[:, 4 : 4 + size].astype(np.int64)
    np.put_along_axis(logprobs_SV, ids_SV, rows_SD[:, 4 + size : 4 + 2 * size], axis=1)
    return logprobs_SV


def scores_of(rows_kD: ScoreRows) -> Iterator[Score]:
    """Yield the scores of consecutive characters of one stream."""
    ends = [4 + part * _alternatives_of(rows_kD) for part in range(4)]
    ids, logprobs, probabilities = map(slice, ends, ends[1:])
    for row in rows_kD.tolist():
        top: Iterable[Alternative] = ()
        if len(row) > 4:
            top = map(Alternative, map(int, row[ids]), row[logprobs], row[probabilities])
        yield Score(row[0], int(row[1]), row[2], row[3], tuple(top))


def _alternatives_of(rows_kD: ScoreRows) -> int:
    return int(rows_kD.shape[1] - 4) // 3
