"""Sampling: from scores and uniform numbers to the next ids, for many streams at once.

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
    """How the next character is chosen from the network's scores.

    The scores are divided by `temperature`; then only the `top_k` most likely characters stay,
    of those the fewest whose probabilities reach `top_p`, and of those the ones at least
    `min_p` times as likely as the likeliest. What stays is renormalised and drawn from.

    Raises:
        SamplingError: if a value is out of its range.
    """

    temperature: float = 1.0  # 0..100; 0 always takes the most likely character
    top_k: int | None = 5  # at least 1; None keeps all
    top_p: float | None = None  # above 0, at most 1 (Holtzman et al. 2020); None keeps all
    min_p: float | None = None  # 0..1 (Nguyen et al. 2024); None keeps all

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
    """The parameters of S streams, a list each; a filter that is not used keeps all."""

    scale: list[float]  # 1 / temperature
    last_rank: list[int]  # top_k - 1, at most V - 1
    top_p: list[float]
    min_p: list[float]


def sampling_columns(params: Sequence[SamplingParams], vocabulary_size: int) -> SamplingColumns:
    """To take the most likely character always is to keep only the first."""
    greedy = [p.temperature == 0 for p in params]
    finite = torch.finfo(torch.float32).max
    return SamplingColumns(
        [1.0 if g else min(1 / p.temperature, finite) for p, g in zip(params, greedy, strict=True)],
        [
            0 if g else min(p.top_k or vocabulary_size, vocabulary_size) - 1
            for p, g in zip(params, greedy, strict=True)
        ],
        [1.0 if p.top_p is None else p.top_p for p in params],
        [0.0 if p.min_p is None else p.min_p for p in params],
    )


class SamplingRows(NamedTuple):
    """The parameters of S streams as tensors that broadcast over (S, V)."""

    scale: Tensor  # (S, 1) float32, 1 / temperature
    last_rank: Tensor  # (S, 1) int64, top_k - 1, at most V - 1
    top_p: Tensor | None  # (S, 1) float32, None when no stream uses it
    min_p: Tensor | None  # (S, 1) float32, likewise

    @classmethod
    def of(
        cls, params: Sequence[SamplingParams], vocabulary_size: int, device: torch.device
    ) -> "SamplingRows":
        columns = sampling_columns(params, vocabulary_size)
        scale, top_p, min_p = (
            torch.tensor(column, dtype=torch.float32, device=device).unsqueeze(1)
            for column in (columns.scale, columns.top_p, columns.min_p)
        )
        return cls(
            scale,
            torch.tensor(columns.last_rank, dtype=torch.int64, device=device).unsqueeze(1),
            top_p if min(columns.top_p, default=1.0) < 1 else None,
            min_p if max(columns.min_p, default=0.0) > 0 else None,
        )

    def of_streams(self, streams: slice) -> "SamplingRows":
        """The rows of some of the streams."""
        top_p, min_p = (None if x is None else x[streams] for x in (self.top_p, self.min_p))
        return SamplingRows(self.scale[streams], self.last_rank[streams], top_p, min_p)


def uniforms(seed: int) -> np.random.Generator:
    """The source of a seed's random numbers: its n-th float32 depends on the seed and n alone.

    Philox is counter-based (Salmon et al. 2011), and the same on every machine.
    """
    return np.random.Generator(np.random.Philox(seed))


def next_ids(logits_SV: Tensor, uniforms_S: Tensor, rows: SamplingRows) -> Tensor:
    """Draws the next id of every stream; a stream's result depends on its own row alone.

    The characters are sorted by score, ties by id. Each filter then keeps a first part of
    that order, and the uniform number picks a place in the kept part's cumulative sum.

    Returns:
        ids, int64 (S,).
    """
    order_SV, cumulative_SV, last_S1 = _kept(logits_SV, rows)
    target_S1 = uniforms_S.unsqueeze(1) * cumulative_SV.gather(1, last_S1)
    picked_S1 = torch.minimum(_count(cumulative_SV <= target_S1), last_S1)
    return order_SV.gather(1, picked_S1).squeeze(1)


def sampling_probabilities(logits_SV: Tensor, ids_S: Tensor, rows: SamplingRows) -> Tensor:
    """The probability that `next_ids` draws each stream's id with, float32 (S,)."""
    order_SV, cumulative_SV, last_S1 = _kept(logits_SV, rows)
    place_S1 = (order_SV == ids_S.unsqueeze(1)).int().argmax(dim=-1, keepdim=True)
    before_S1 = cumulative_SV.gather(1, (place_S1 - 1).clamp_min(0)) * (place_S1 > 0)
    width_S1 = cumulative_SV.gather(1, place_S1) - before_S1
    kept_S1 = width_S1 / cumulative_SV.gather(1, last_S1)
    return (kept_S1 * (place_S1 <= last_S1)).squeeze(1)


def _kept(logits_SV: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor, Tensor]:
    """The characters' order, their cumulative probabilities in it, and the last place kept."""
    sorted_SV, order_SV = logits_SV.sort(dim=-1, descending=True, stable=True)
    relative_SV = (sorted_SV - sorted_SV[:, :1]) * rows.scale
    probabilities_SV = relative_SV.softmax(dim=-1)
    cumulative_SV = probabilities_SV.cumsum(dim=-1)
    last_S1, top_p, min_p = rows.last_rank, rows.top_p, rows.min_p  # names that TorchScript refines
    if top_p is not None:
        limit_S1 = top_p * cumulative_SV.gather(1, last_S1)
        before_SV = cumulative_SV - probabilities_SV
        last_S1 = torch.minimum(last_S1, _count(before_SV < limit_S1) - 1)
    if min_p is not None:
        limit_S1 = min_p * probabilities_SV[:, :1]
        last_S1 = torch.minimum(last_S1, _count(probabilities_SV >= limit_S1) - 1)
    # A tiny top_p rounds to 0, and absurd weights give no numbers.
    return order_SV, cumulative_SV, last_S1.clamp_min(0)


def _count(mask_SV: Tensor) -> Tensor:
    return mask_SV.sum(dim=-1, keepdim=True)


def check_seed(seed: int) -> int:
    """The seed, if it is one.

    Raises:
        SamplingError: if it is not in 0..2^63-1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise SamplingError(f"seed must be in 0..{MAX_SEED}, got {seed}")
    return seed
