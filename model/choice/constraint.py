"""Constraint: what restricts the characters that a stream draws, a pattern and a logit bias.

Shape letters: S streams, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.errors import SamplingError
from model.patterns.pattern import Pattern, any_text

MAX_BIAS = 100.0  # -100 bans a character, as in OpenAI's API
MAX_BIASES = 1000  # characters with a bias

LogitBias = tuple[tuple[int, float], ...]  # ids and what is added to their logits


def check_logit_bias(biases: LogitBias) -> None:
    """Raise SamplingError if a bias is out of range, or an id is there twice."""
    if len(biases) > MAX_BIASES:
        raise SamplingError(
            f"logit_bias must have at most {MAX_BIASES} characters, got {len(biases)}"
        )
    for character, bias in biases:
        if character < 0 or not -MAX_BIAS <= bias <= MAX_BIAS:
            raise SamplingError(
                f"the values of logit_bias must be in -100..100, got {bias} for id {character}"
            )
    if len({character for character, _ in biases}) < len(biases):
        raise SamplingError("logit_bias must have each character once")


def banned_ids(biases: LogitBias) -> frozenset[int]:
    """Return the ids that a bias of -100 bans."""
    return frozenset(character for character, bias in biases if bias <= -MAX_BIAS)


class Constraint(NamedTuple):
    """The constraint of one stream."""

    pattern: Pattern
    biases_V: npt.NDArray[np.float32] | None  # minus infinity bans a character

    @classmethod
    def of(
        cls, pattern: Pattern | None, biases: LogitBias, vocabulary_size: int
    ) -> Constraint | None:
        """Return the constraint of a stream, or None if every character may be drawn."""
        if pattern is None and not biases:
            return None
        biases_V = None
        if biases:
            biases_V = np.zeros(vocabulary_size, np.float32)
            for character, bias in biases:
                biases_V[character] = bias if bias > -MAX_BIAS else -np.inf
        return cls(pattern or any_text(vocabulary_size), biases_V)


# Mirrors Constraint in model/native/lstm.h.
_NATIVE = np.dtype(
    [(name, np.uint64) for name in ("next", "class_of", "may_end", "biases")]
    + [("classes", np.int64)]
)


class ConstraintColumns(NamedTuple):
    """The constraints of S streams in the layout of the native kernel."""

    constraints: npt.NDArray[Any]  # (S,)
    owners: Sequence[Constraint | None]  # keep the memory alive that the column points to

    @classmethod
    def of(cls, owners: Sequence[Constraint | None]) -> ConstraintColumns | None:
        """Return the columns, or None if no stream has a constraint."""
        if not any(owners):
            return None
        column_S = np.zeros(len(owners), _NATIVE)
        for row, owner in enumerate(owners):
            if owner is not None:
                arrays = (*owner.pattern.arrays, owner.biases_V)
                addresses = [0 if array is None else array.ctypes.data for array in arrays]
                column_S[row] = (*addresses, owner.pattern.next_NC.shape[1])
        return cls(column_S, owners)
