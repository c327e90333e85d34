"""Scores in torch: the rows that `model.choice.scores` describes.

Shape letters: S streams, V vocabulary, N alternatives, D = 4 + 3N numbers of a score.
"""

from __future__ import annotations

import torch
from torch import Tensor


def score_rows(
    logits_SV: Tensor, ids_S: Tensor, probabilities_SV: Tensor, alternatives: int
) -> Tensor:
    """Score one character of each stream.

    Args:
        logits_SV: the network's logits.
        ids_S: the characters to score.
        probabilities_SV: the probability of each character after temperature and filters.
        alternatives: number of most likely characters to include, at most V.

    Returns:
        rows, float64 (S, D).
    """
    logprobs_SV = logits_SV.double().log_softmax(dim=-1)
    chosen_S1 = logprobs_SV.gather(1, ids_S.unsqueeze(1))
    rank_S1 = (logprobs_SV > chosen_S1).sum(dim=-1, keepdim=True) + 1
    entropy_S1 = torch.special.entr(logprobs_SV.exp()).sum(dim=-1, keepdim=True)
    drawn_S1 = probabilities_SV.gather(1, ids_S.unsqueeze(1))
    top_SN, top_ids_SN = logprobs_SV.topk(alternatives, dim=-1)
    drawn_SN = probabilities_SV.gather(1, top_ids_SN)
    columns = [chosen_S1, rank_S1, entropy_S1, drawn_S1, top_ids_SN, top_SN, drawn_SN]
    rows_SD = torch.cat([column.double() for column in columns], dim=1)
    never = -1e9  # stands for the logarithm of zero, because JSON has no infinity
    return rows_SD.nan_to_num(never, None, never).clamp_min(never)
