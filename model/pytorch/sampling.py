"""Sampling in torch: draw and score the next ids of many streams at once.

The native kernel implements the same filters in C++, in `model/native/sampling.cpp`.

Shape letters: S streams, V vocabulary, N alternatives, D = 4 + 3N numbers of a score.
"""

# No `from __future__ import annotations` here: TorchScript reads SamplingRows' field types.
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.choice.sampling_params import SamplingParams, sampling_columns


class SamplingRows(NamedTuple):
    """The parameters of S streams as tensors that broadcast over (S, V)."""

    inverse_temperature: Tensor  # (S, 1) float32
    last_rank: Tensor  # (S, 1) int64, top_k - 1
    top_p: Tensor | None  # (S, 1) float32, None when no stream uses it
    min_p: Tensor | None  # (S, 1) float32, likewise

    @classmethod
    def of(
        cls, params: Sequence[SamplingParams], vocabulary_size: int, device: torch.device
    ) -> "SamplingRows":
        """Return the rows for some parameters, on a device. A filter that none uses is None."""
        columns = sampling_columns(params, vocabulary_size)
        # A stream with a constraint may have one candidate more, see `model.pytorch.constraints`.
        columns = columns._replace(top_k=columns.top_k.clip(max=vocabulary_size))
        inverse, top_k, top_p, min_p = (
            torch.from_numpy(column).to(device).unsqueeze(1) for column in columns
        )
        used_top_p = top_p if (columns.top_p < 1).any() else None
        used_min_p = min_p if (columns.min_p > 0).any() else None
        return cls(inverse, top_k.long() - 1, used_top_p, used_min_p)

    @classmethod
    def unfiltered(cls, slots: int, device: torch.device) -> "SamplingRows":
        """Return rows with every filter present: top_p and min_p keep all, and top_k keeps one.

        A CUDA graph always applies every filter, on tensors of these shapes. These rows are its
        placeholders until real parameters are copied into them.
        """
        ones, zeros = torch.ones(slots, 1, device=device), torch.zeros(slots, 1, device=device)
        return cls(ones, zeros.long(), ones.clone(), zeros)

    def of_streams(self, streams: slice) -> "SamplingRows":
        """Return the rows of some of the streams."""
        top_p, min_p = (None if x is None else x[streams] for x in (self.top_p, self.min_p))
        inverse_temperature, last_rank = self.inverse_temperature[streams], self.last_rank[streams]
        return SamplingRows(inverse_temperature, last_rank, top_p, min_p)


def next_ids(logits_SV: Tensor, uniforms_S: Tensor, rows: SamplingRows) -> Tensor:
    """Draw the next id of every stream. A stream's result depends only on its own row.

    The characters are sorted by logit, and by id where logits are equal. Each filter then keeps a
    prefix of that order. The uniform number, scaled by the probability of the prefix, selects a
    character by the cumulative probabilities.

    Args:
        logits_SV: the network's logits, float32.
        uniforms_S: random numbers in [0, 1), float32.
        rows: sampling parameters.

    Returns:
        ids, int64 (S,).
    """
    return draw(_candidates(logits_SV, rows), uniforms_S)


def sampling_probabilities(logits_SV: Tensor, rows: SamplingRows) -> Tensor:
    """Return the probabilities with which `next_ids` draws each id of each stream.

    Returns:
        probabilities, float32 (S, V).
    """
    return probabilities(_candidates(logits_SV, rows))


class Candidates(NamedTuple):
    """What S streams may draw. Cumulative probabilities have a scale of their own on a GPU."""

    order_SV: Tensor  # ids by falling probability
    cumulative_SV: Tensor  # cumulative probabilities in that order
    last_S1: Tensor  # the last index that the filters keep


def draw(candidates: Candidates, uniforms_S: Tensor) -> Tensor:
    """Return the ids (S,) that random numbers in [0, 1) select."""
    order_SV, cumulative_SV, last_S1 = candidates
    target_S1 = uniforms_S.unsqueeze(1) * cumulative_SV.gather(1, last_S1)
    drawn_S1 = torch.minimum(_count(cumulative_SV <= target_S1), last_S1)
    return order_SV.gather(1, drawn_S1).squeeze(1)


def probabilities(candidates: Candidates) -> Tensor:
    """Return the probabilities (S, V) with which `draw` selects each id of each stream."""
    order_SV, cumulative_SV, last_S1 = candidates
    before_SV = torch.nn.functional.pad(cumulative_SV[:, :-1], [1, 0])
    shares_SV = (cumulative_SV - before_SV) / cumulative_SV.gather(1, last_S1)
    places_V = torch.arange(order_SV.size(1), device=order_SV.device)
    kept_SV = shares_SV * (places_V <= last_S1)
    return torch.zeros_like(kept_SV).scatter(1, order_SV, kept_SV)


def weighted_candidates(weights_SV: Tensor, rows: SamplingRows) -> Candidates:
    """Return the candidates for numbers in proportion to the probabilities after temperature."""
    sorted_SV, order_SV = weights_SV.sort(dim=-1, descending=True, stable=True)
    cumulative_SV = cumulative_sums(sorted_SV)
    return Candidates(order_SV, cumulative_SV, _last_kept(sorted_SV, cumulative_SV, rows))


def _candidates(logits_SV: Tensor, rows: SamplingRows) -> Candidates:
    """Return what is left after temperature and filters."""
    sorted_SV, order_SV = logits_SV.sort(dim=-1, descending=True, stable=True)
    relative_SV = (sorted_SV - sorted_SV[:, :1]) * rows.inverse_temperature
    weights_SV = sampling_weights(relative_SV)
    cumulative_SV = cumulative_sums(weights_SV)
    return Candidates(order_SV, cumulative_SV, _last_kept(weights_SV, cumulative_SV, rows))


def _last_kept(weights_SV: Tensor, cumulative_SV: Tensor, rows: SamplingRows) -> Tensor:
    """Return the last index (S, 1) that the filters keep, given falling weights."""
    last_S1, top_p, min_p = rows.last_rank, rows.top_p, rows.min_p  # names that TorchScript refines
    # A filter at the value that keeps all must not change a row, even if another row needs the
    # filter. The comparisons alone would drop characters whose probability is lost in rounding.
    if top_p is not None:
        limit_S1 = top_p * cumulative_SV.gather(1, last_S1)
        before_SV = cumulative_SV - weights_SV
        kept_S1 = torch.minimum(last_S1, _count(before_SV < limit_S1) - 1)
        last_S1 = torch.where(top_p < 1, kept_S1, last_S1)
    if min_p is not None:
        limit_S1 = min_p * weights_SV[:, :1]
        kept_S1 = torch.minimum(last_S1, _count(weights_SV >= limit_S1) - 1)
        last_S1 = torch.where(min_p > 0, kept_S1, last_S1)
    # At least one character stays: a tiny top_p may be rounded to 0, and extreme weights give NaN.
    return last_S1.clamp_min(0)


def sampling_weights(relative_SV: Tensor) -> Tensor:
    """Return numbers in proportion to the probabilities, with the same bits in every batch.

    Args:
        relative_SV: logits relative to the largest of their row.
    """
    return relative_SV.exp() if relative_SV.is_cuda else relative_SV.softmax(dim=-1)


def cumulative_sums(weights_SV: Tensor) -> Tensor:
    """Return the cumulative sums of weights, with the same bits in every batch."""
    return exact_sums(weights_SV) if weights_SV.is_cuda else weights_SV.cumsum(dim=-1)


def exact_sums(weights_SV: Tensor) -> Tensor:
    """Return the cumulative sums of numbers in [0, V], with the same bits in every batch.

    On a GPU, the order in which torch adds floats depends on the number of rows, and so does the
    rounding. Sums of integers are exact in any order. The numbers have 40 binary places, so that
    the sums fit into int64 for every vocabulary.
    """
    fixed_SV = (weights_SV.double() * 1099511627776.0).round().long()  # 2**40
    return (fixed_SV.cumsum(dim=-1).double() / 1099511627776.0).float()


def score_rows(
    logits_SV: Tensor, ids_S: Tensor, probabilities_SV: Tensor, alternatives: int
) -> Tensor:
    """Score one character of each stream, in rows that `model.choice.scores` describes.

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


def _count(mask_SV: Tensor) -> Tensor:
    return mask_SV.sum(dim=-1, keepdim=True)
