"""Scores: what a network thought of a character before it came.

Shape letters: S streams, V vocabulary, N alternatives, D = 4 + 2N figures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ScoreRows = npt.NDArray[np.float64]

MOST_ALTERNATIVES = 10


class Score(NamedTuple):
    """Of one character, by the network's own distribution: before temperature and filters."""

    logprob: float  # natural logarithm
    rank: int  # 1 for the most likely character
    entropy: float  # of the distribution, in nats
    probability: float  # that it was drawn with, after temperature and filters
    top: tuple[tuple[int, float], ...]  # the most likely ids and their logprobs


def score_rows(
    logits_SV: Tensor, ids_S: Tensor, probabilities_S: Tensor, alternatives: int
) -> Tensor:
    """The figures of one character of each stream, float64 (S, D).

    Args:
        logits_SV: the network's scores.
        ids_S: the characters that came.
        probabilities_S: that they were drawn with.
        alternatives: how many of the most likely ones to name, at most V.
    """
    logprobs_SV = logits_SV.double().log_softmax(dim=-1)
    chosen_S1 = logprobs_SV.gather(1, ids_S.unsqueeze(1))
    rank_S1 = (logprobs_SV > chosen_S1).sum(dim=-1, keepdim=True) + 1
    entropy_S1 = torch.special.entr(logprobs_SV.exp()).sum(dim=-1, keepdim=True)
    top_SN, top_ids_SN = logprobs_SV.topk(alternatives, dim=-1)
    figures = [chosen_S1, rank_S1, entropy_S1, probabilities_S.unsqueeze(1), top_ids_SN, top_SN]
    rows_SD = torch.cat([figure.double() for figure in figures], dim=1)
    never = -1e9  # instead of the logarithm of zero, which JSON cannot carry
    return rows_SD.nan_to_num(never, None, never).clamp_min(never)


def scores_of(rows_kD: ScoreRows, alternatives: int) -> list[Score]:
    """Scores of a stream's characters, from rows made with at least so many alternatives."""
    made = (rows_kD.shape[1] - 4) // 2
    return [
        Score(
            logprob=row[0],
            rank=int(row[1]),
            entropy=row[2],
            probability=row[3],
            top=tuple(zip(map(int, row[4 : 4 + alternatives]), row[4 + made :], strict=False)),
        )
        for row in rows_kD.tolist()
    ]
