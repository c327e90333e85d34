"""Sampling: draw the next ids from logits and uniform random numbers, for many streams at once.

The native kernel implements the same filters in C++, in `model/native/sampler.cpp`.

Shape letters: S streams, V vocabulary.
"""

# No `from __future__ import annotations` here: TorchScript reads SamplingRows' field types.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.errors import SamplingError

Uniforms = npt.NDArray[np.float32]

MAX_TEMPERATURE = 100.0
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class SamplingParams:
    """Parameters of the choice of the next character from the network's logits.

    1. The logits are divided by `temperature`.
    2. `top_k` keeps the k most likely characters.
    3. `top_p` keeps the smallest set of the most likely ones whose probabilities sum to at least
       `top_p`.
    4. `min_p` keeps those at least `min_p` times as likely as the most likely one.

    The probabilities of the remaining characters are renormalized, and one of them is drawn.

    Raises:
        SamplingError: if a value is out of range.
    """

    temperature: float = 1.0  # 0 to 100; 0 always takes the most likely character
    top_k: int | None = 5  # at least 1 (Fan et al. 2018); None keeps all
    top_p: float | None = None  # above 0, at most 1 (Holtzman et al. 2020); None keeps all
    min_p: float | None = None  # 0 to 1 (Nguyen et al. 2024); None keeps all

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise SamplingError(f"temperature must be in 0..100, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise SamplingError(f"top_k must be at least 1 or null, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise SamplingError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise SamplingError(f"min_p must be in 0..1, got {self.min_p}")


class SamplingColumns(NamedTuple):
    """The parameters of S streams, one array per parameter.

    The names are those of the native kernel's fields. Each array has the shape (S,).
    """

    inverse_temperatures: npt.NDArray[np.float32]
    top_k: npt.NDArray[np.int32]  # 1..V
    top_p: npt.NDArray[np.float32]  # 1 where the filter is not used
    min_p: npt.NDArray[np.float32]  # 0 where the filter is not used


def sampling_columns(params: Sequence[SamplingParams], vocabulary_size: int) -> SamplingColumns:
    """Return the parameters as columns. Greedy decoding (temperature 0) is encoded as top_k = 1."""
    finite = float(np.finfo(np.float32).max)
    greedy = [p.temperature == 0 for p in params]
    inverse = [
        1.0 if g else min(1 / p.temperature, finite) for p, g in zip(params, greedy, strict=True)
    ]
    top_k = [
        1 if g else min(p.top_k or vocabulary_size, vocabulary_size)
        for p, g in zip(params, greedy, strict=True)
    ]
    return SamplingColumns(
        np.array(inverse, np.float32),
        np.array(top_k, np.int32),
        np.array([1.0 if p.top_p is None else p.top_p for p in params], np.float32),
        np.array([0.0 if p.min_p is None else p.min_p for p in params], np.float32),
    )


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
        inverse, top_k, top_p, min_p = (
            torch.from_numpy(column).to(device).unsqueeze(1) for column in columns
        )
        uses_top_p, uses_min_p = bool((columns.top_p < 1).any()), bool((columns.min_p > 0).any())
        return cls(
            inverse,
            top_k.long() - 1,
            top_p if uses_top_p else None,
            min_p if uses_min_p else None,
        )

    @classmethod
    def unfiltered(cls, slots: int, device: torch.device) -> "SamplingRows":
        """Return rows with every filter present: top_p and min_p keep all, and top_k keeps one.

        A CUDA graph always applies every filter, on tensors of these shapes. These rows are its
        placeholders until real parameters are copied into them.
        """
        ones = torch.ones(slots, 1, device=device)
        return cls(
            ones.clone(), torch.zeros_like(ones).long(), ones.clone(), torch.zeros_like(ones)
        )

    def of_streams(self, streams: slice) -> "SamplingRows":
        """Return the rows of some of the streams."""
        top_p, min_p = (None if x is None else x[streams] for x in (self.top_p, self.min_p))
        inverse_temperature, last_rank = self.inverse_temperature[streams], self.last_rank[streams]
        return SamplingRows(inverse_temperature, last_rank, top_p, min_p)


def uniforms(seed: int) -> np.random.Generator:
    """Return the random number generator of a seed.

    Its n-th float32 depends only on the seed and n. Philox is counter-based (Salmon et al. 2011)
    and gives the same numbers on every machine.
    """
    return np.random.Generator(np.random.Philox(seed))


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
    order_SV, cumulative_SV, last_S1 = _filter(logits_SV, rows)
    target_S1 = uniforms_S.unsqueeze(1) * cumulative_SV.gather(1, last_S1)
    drawn_S1 = torch.minimum(_count(cumulative_SV <= target_S1), last_S1)
    return order_SV.gather(1, drawn_S1).squeeze(1)


def sampling_probabilities(logits_SV: Tensor, ids_S: Tensor, rows: SamplingRows) -> Tensor:
    """Return the probability with which `next_ids` draws the given id of each stream.

    Returns:
        probabilities, float32 (S,).
    """
    order_SV, cumulative_SV, last_S1 = _filter(logits_SV, rows)
    index_S1 = (order_SV == ids_S.unsqueeze(1)).int().argmax(dim=-1, keepdim=True)
    before_S1 = cumulative_SV.gather(1, (index_S1 - 1).clamp_min(0)) * (index_S1 > 0)
    share_S1 = cumulative_SV.gather(1, index_S1) - before_S1
    probability_S1 = share_S1 / cumulative_SV.gather(1, last_S1)
    return (probability_S1 * (index_S1 <= last_S1)).squeeze(1)


def _filter(logits_SV: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ids by falling logit, their cumulative probabilities, and the last index kept.

    Cumulative probabilities have a scale of their own on a GPU, so only their ratios count.
    """
    sorted_SV, order_SV = logits_SV.sort(dim=-1, descending=True, stable=True)
    relative_SV = (sorted_SV - sorted_SV[:, :1]) * rows.inverse_temperature
    probabilities_SV, cumulative_SV = _cumulate(relative_SV)
    last_S1, top_p, min_p = rows.last_rank, rows.top_p, rows.min_p  # names that TorchScript refines
    # A filter at the value that keeps all must not change a row, even if another row needs the
    # filter. The comparisons alone would drop characters whose probability is lost in rounding.
    if top_p is not None:
        limit_S1 = top_p * cumulative_SV.gather(1, last_S1)
        before_SV = cumulative_SV - probabilities_SV
        kept_S1 = torch.minimum(last_S1, _count(before_SV < limit_S1) - 1)
        last_S1 = torch.where(top_p < 1, kept_S1, last_S1)
    if min_p is not None:
        limit_S1 = min_p * probabilities_SV[:, :1]
        kept_S1 = torch.minimum(last_S1, _count(probabilities_SV >= limit_S1) - 1)
        last_S1 = torch.where(min_p > 0, kept_S1, last_S1)
    # At least one character stays: a tiny top_p may be rounded to 0, and extreme weights give NaN.
    return order_SV, cumulative_SV, last_S1.clamp_min(0)


def _cumulate(relative_SV: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities from logits relative to the largest, and their cumulative sums."""
    if relative_SV.is_cuda:
        return cumulate_exactly(relative_SV)
    probabilities_SV = relative_SV.softmax(dim=-1)
    return probabilities_SV, probabilities_SV.cumsum(dim=-1)


def cumulate_exactly(relative_SV: Tensor) -> tuple[Tensor, Tensor]:
    """Return numbers in proportion to the probabilities, and their cumulative sums.

    On a GPU, the order in which torch adds floats depends on the number of rows, and so does the
    rounding. Sums of integers are exact in any order. The largest number is 1, so the sums have
    40 binary places and fit into int64 for every vocabulary.
    """
    weights_SV = relative_SV.exp()
    fixed_SV = (weights_SV.double() * 1099511627776.0).round().long()  # 2**40
    return weights_SV, (fixed_SV.cumsum(dim=-1).double() / 1099511627776.0).float()


def _count(mask_SV: Tensor) -> Tensor:
    return mask_SV.sum(dim=-1, keepdim=True)


def check_seed(seed: int) -> int:
    """Return the seed if it is valid.

    Raises:
        SamplingError: if it is not in 0..2^63-1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise SamplingError(f"seed must be in 0..{MAX_SEED}, got {seed}")
    return seed
