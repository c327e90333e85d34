"""Sampling: the parameters and the random numbers of the choice of the next character.

`model/native/sampling.cpp` and `model/pytorch/sampling.py` make the choice.

Shape letters: S streams, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.choice.constraint import Constraint, LogitBias, check_logit_bias
from model.choice.held_cell import HeldCell, check_held_cells
from model.errors import SamplingError
from model.patterns.pattern import Pattern

Uniforms = npt.NDArray[np.float32]

MAX_TEMPERATURE = 100.0
MAX_SEED = 2**63 - 1
_GREATEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class SamplingParams:
    """Parameters of the choice of the next character from the network's logits.

    1. The logits are divided by `temperature`.
    2. `top_k` keeps the k most likely characters.
    3. `top_p` keeps the smallest set of the most likely ones whose probabilities sum to at least
       `top_p`.
    4. `min_p` keeps those at least `min_p` times as likely as the most likely one.

    The probabilities of the remaining characters are renormalized, and one of them is drawn.

    `logit_bias` is added to the logits before all of this. With a `pattern`, the candidates are the
    characters that can still lead to a match. Where the match may end, the other characters stand
    for the end, together: they are one more candidate, whose probability is the sum of theirs after
    step 1. If it is drawn, the text ends. It also ends where nothing can follow.

    `hold` changes the logits: in every step that draws a character, or scores one as if it had been
    drawn, the state of these cells is set before the hidden values are computed from it.

    With a `memory`, all of this applies to the logits of a mixture: the network's distribution and
    that of a memory of the text, see `model/native/memory.h`.

    Raises:
        SamplingError: if a value is out of range, or a cell is held twice.
    """

    temperature: float = 1.0  # 0 to 100; 0 always takes the most likely character
    top_k: int | None = 5  # at least 1 (Fan et al. 2018); None keeps all
    top_p: float | None = None  # above 0, at most 1 (Holtzman et al. 2020); None keeps all
    min_p: float | None = None  # 0 to 1 (Nguyen et al. 2024); None keeps all
    hold: tuple[HeldCell, ...] = ()  # up to 8 different cells
    logit_bias: LogitBias = ()  # -100 to 100 for each id; -100 bans the character
    pattern: Pattern | None = None  # what the whole text must match; None: anything
    memory: bool = False  # whether the stream learns from what it reads

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise SamplingError(f"temperature must be in 0..100, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise SamplingError(f"top_k must be at least 1 or null, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise SamplingError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise SamplingError(f"min_p must be in 0..1, got {self.min_p}")
        check_held_cells(self.hold)
        check_logit_bias(self.logit_bias)

    @property
    def constrained(self) -> bool:
        """Whether the choice depends on more than the network's logits and the filters."""
        return self.pattern is not None or bool(self.logit_bias)

    def constraint(self, vocabulary_size: int) -> Constraint | None:
        """Return what restricts the characters, or None if every character may be drawn."""
        return Constraint.of(self.pattern, self.logit_bias, vocabulary_size)


class SamplingColumns(NamedTuple):
    """The parameters of S streams, one array per parameter, without `hold`.

    The names are those of the native kernel's fields. Each array has the shape (S,).
    """

    inverse_temperatures: npt.NDArray[np.float32]
    top_k: npt.NDArray[np.int32]  # 1..V, 1..V+1 for streams with a constraint
    top_p: npt.NDArray[np.float32]  # 1 where the filter is not used
    min_p: npt.NDArray[np.float32]  # 0 where the filter is not used


def sampling_columns(params: Sequence[SamplingParams], vocabulary_size: int) -> SamplingColumns:
    """Return the parameters as columns. Greedy decoding (temperature 0) is encoded as top_k = 1."""
    return SamplingColumns(
        np.array([_inverse_temperature(p) for p in params], np.float32),
        np.array([_top_k(p, vocabulary_size) for p in params], np.int32),
        np.array([1.0 if p.top_p is None else p.top_p for p in params], np.float32),
        np.array([0.0 if p.min_p is None else p.min_p for p in params], np.float32),
    )


def _inverse_temperature(params: SamplingParams) -> float:
    """Return 1 / temperature. For greedy decoding it is 1, because only the order counts.

    With a pattern, the end has the sum of the probabilities that stand for it. At temperature 0, as
    at a very low one, it is drawn if the most likely character is one of those.
    """
    if params.temperature == 0:
        return _GREATEST if params.constrained else 1.0
    return min(1 / params.temperature, _GREATEST)


def _top_k(params: SamplingParams, vocabulary_size: int) -> int:
    """Return the number of candidates that top-k keeps. The end of a text is one candidate."""
    most = vocabulary_size + (1 if params.constrained else 0)
    return 1 if params.temperature == 0 else min(params.top_k or most, most)


def uniforms(seed: int) -> np.random.Generator:
    """Return the random number generator of a seed.

    Its n-th float32 depends only on the seed and n. Philox is counter-based (Salmon et al. 2011)
    and gives the same numbers on every machine.
    """
    return np.random.Generator(np.random.Philox(seed))


def check_seed(seed: int) -> int:
    """Return the seed if it is valid.

    Raises:
        SamplingError: if it is not in 0..2^63-1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise SamplingError(f"seed must be in 0..{MAX_SEED}, got {seed}")
    return seed
