"""Scores: the log-probability of each character, with its rank, its entropy and alternatives.

Shape letters: k characters, S streams, V vocabulary, N alternatives, D = 4 + 2N numbers of a score.
A row has the logprob, the rank, the entropy, the probability, N ids and their N logprobs.
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
    """The score of one character.

    All fields except `probability` describe the network's own distribution, before temperature and
    filters.
    """

    logprob: float  # natural logarithm of the character's probability
    rank: int  # 1 for the most likely character
    entropy: float  # entropy of the distribution, in nats
    probability: float  # probability of the character after temperature and filters
    top: tuple[tuple[int, float], ...]  # the most likely ids and their logprobs


def score_rows(
    logits_SV: Tensor, ids_S: Tensor, probabilities_S: Tensor, alternatives: int
) -> Tensor:
    """Score one character of each stream.

    Args:
        logits_SV: the network's logits.
        ids_S: the characters to score.
        probabilities_S: their probabilities after temperature and filters.
        alternatives: number of most likely characters to include, at most V.

    Returns:
        rows, float64 (S, D).
    """
    logprobs_SV = logits_SV.double().log_softmax(dim=-1)
    chosen_S1 = logprobs_SV.gather(1, ids_S.unsqueeze(1))
    rank_S1 = (logprobs_SV > chosen_S1).sum(dim=-1, keepdim=True) + 1
    entropy_S1 = torch.special.entr(logprobs_SV.exp()).sum(dim=-1, keepdim=True)
    top_SN, top_ids_SN = logprobs_SV.topk(alternatives, dim=-1)
    columns = [chosen_S1, rank_S1, entropy_S1, probabilities_S.unsqueeze(1), top_ids_SN, top_SN]
    rows_SD = torch.cat([column.double() for column in columns], dim=1)
    never = -1e9  # stands for the logarithm of zero, because JSON has no infinity
    return rows_SD.nan_to_num(never, None, never).clamp_min(never)


def scores_of(rows_kD: ScoreRows, alternatives: int) -> list[Score]:
    """Return the scores of one stream's characters.

    Args:
        rows_kD: rows of `score_rows` or of a kernel, with at least `alternatives` alternatives.
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
