"""Constraints in torch: patterns and logit biases, for the streams that have them.

The native kernel applies them in `model/native/constraints.cpp`. The streams without a constraint
are not touched, so their texts have the same bits with and without constrained ones beside them.

A state is the position of its row in `table`, where the rows of all patterns stand one after the
other. The last entry of a row tells whether the text may end in the state.

Shape letters: S streams, P streams with a constraint, V vocabulary, E = V + 1 candidates: the
characters and the end of the text.
"""

# No `from __future__ import annotations` here: TorchScript reads ConstraintRows' field types.
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.choice.sampling_params import SamplingParams
from model.decoding.backend import PatternProgress, StepInput
from model.patterns.pattern import ENDED, Pattern
from model.pytorch.sampling import (
    Candidates,
    SamplingRows,
    cumulative_sums,
    draw,
    probabilities,
    sampling_weights,
    weighted_candidates,
)


class ConstraintRows(NamedTuple):
    """The constraints of P streams. `states_P` and `lengths_P` change with every step."""

    streams_P: Tensor  # int64, the row of each among S streams
    table: Tensor  # int32, the rows of all patterns
    class_of_PV: Tensor  # int64
    classes_P1: Tensor  # int64, number of classes: the index of the last entry of a row
    biases_PV: Tensor  # float32
    sampling: SamplingRows
    states_P: Tensor  # int64, ENDED after the end of the text
    lengths_P: Tensor  # int64, number of steps up to the end of the text


class Constraints:
    """The constraints of a decoder's streams, on a device.

    Args:
        params: the sampling parameters of all streams, at least one of them with a constraint.
        first: slot of the first stream.
        vocabulary_size: V.
        device: device of the tensors.
    """

    def __init__(
        self,
        params: Sequence[SamplingParams],
        first: int,
        vocabulary_size: int,
        device: torch.device,
    ) -> None:
        found = [p.constraint(vocabulary_size) for p in params]
        constrained = [(row, one) for row, one in enumerate(found, first) if one is not None]
        self._device = device
        self._rows = np.array([row for row, _ in constrained])
        patterns = [one.pattern for _, one in constrained]
        table, self._first = _table(patterns)
        self._row_entries = np.array([p.next_NC.shape[1] + 1 for p in patterns])
        none_V = np.zeros(vocabulary_size, np.float32)
        biases = [none_V if one.biases_V is None else one.biases_V for _, one in constrained]
        self._table = torch.from_numpy(table).to(device)
        self._class_of_PV = self._tensor(np.stack([p.class_of_V for p in patterns]).astype(int))
        self._classes_P1 = self._tensor(self._row_entries[:, None] - 1)
        self._biases_PV = self._tensor(np.stack(biases))
        own = [params[row - first] for row, _ in constrained]
        self._sampling = SamplingRows.of(own, vocabulary_size + 1, device)

    def rows(self, inputs: StepInput) -> ConstraintRows | None:
        """Return the rows for the streams of some steps, None if none has a constraint."""
        states_S, _ = inputs.progress()
        first_and_end = inputs.first, inputs.first + len(states_S)
        own = slice(*np.searchsorted(self._rows, first_and_end))
        streams_P = self._rows[own] - inputs.first
        if len(streams_P) == 0:
            return None
        states_P = states_S[streams_P].astype(int)
        places_P = self._first[own] + states_P * self._row_entries[own]
        return ConstraintRows(
            self._tensor(streams_P),
            self._table,
            self._class_of_PV[own],
            self._classes_P1[own],
            self._biases_PV[own],
            self._sampling.of_streams(own),
            self._tensor(np.where(states_P == ENDED, ENDED, places_P)),
            torch.zeros(len(streams_P), dtype=torch.int64, device=self._device),
        )

    def progress(self, inputs: StepInput, rows: ConstraintRows) -> PatternProgress:
        """Return the progress of the streams after the steps, which have changed the rows."""
        progress = inputs.progress()
        streams_P, places_P = rows.streams_P.cpu().numpy(), rows.states_P.cpu().numpy()
        own = np.searchsorted(self._rows, streams_P + inputs.first)
        states_P = (places_P - self._first[own]) // self._row_entries[own]
        progress.states_S[streams_P] = np.where(places_P == ENDED, ENDED, states_P)
        progress.lengths_S[streams_P] = rows.lengths_P.cpu().numpy()
        return progress

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _table(patterns: Sequence[Pattern]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the rows of all patterns, and the position of the first row of each."""
    place_of: dict[int, int] = {}
    parts: list[npt.NDArray[np.int32]] = []
    end = 0
    for pattern in patterns:
        if id(pattern) in place_of:
            continue
        states, classes = pattern.next_NC.shape
        place_of[id(pattern)] = end
        places_NC = np.where(
            pattern.next_NC < 0, pattern.next_NC, end + pattern.next_NC * (classes + 1)
        )
        parts.append(np.hstack([places_NC, pattern.may_end_N[:, None]]).astype(np.int32).ravel())
        end += states * (classes + 1)
    return np.concatenate(parts), np.array([place_of[id(pattern)] for pattern in patterns])


def choose_constrained(
    logits_SV: Tensor,
    uniforms_S: Tensor,
    forced_S: Tensor,
    rows: ConstraintRows,
    ids_S: Tensor,
    probabilities_SV: Tensor,
) -> tuple[Tensor, Tensor]:
    """Replace the results of a step for the streams with a constraint, and advance their patterns.

    Args:
        logits_SV: the network's logits.
        uniforms_S: random numbers in [0, 1).
        forced_S: the characters to take instead of drawn ones, -1 where one is drawn.
        rows: the constraints, whose states and lengths change.
        ids_S: the result of the step without constraints.
        probabilities_SV: the probabilities of the characters without constraints.

    Returns:
        the ids, 0 after the end of a text, and the probabilities, those of the end left out.
    """
    streams_P = rows.streams_P
    candidates, next_PE = _candidates(logits_SV, rows)
    drawn_P = draw(candidates, uniforms_S.index_select(0, streams_P))
    ids_P = _advance(drawn_P, next_PE, forced_S.index_select(0, streams_P), rows)
    probabilities_PV = probabilities(candidates)[:, :-1]
    return (
        ids_S.index_copy(0, streams_P, ids_P),
        probabilities_SV.index_copy(0, streams_P, probabilities_PV),
    )


def _candidates(logits_SV: Tensor, rows: ConstraintRows) -> tuple[Candidates, Tensor]:
    """Return what the streams with a constraint may draw, and the state after each candidate.

    Returns:
        candidates: the characters and, with the id V, the end of the text.
        next_PE: int64, the place of a state, or a negative number.
    """
    row_P1 = rows.states_P.clamp_min(0).unsqueeze(1)
    places_PV = row_P1 + rows.class_of_PV
    next_PV = rows.table.index_select(0, places_PV.flatten()).view_as(places_PV)
    may_end_P1 = rows.table.index_select(0, (row_P1 + rows.classes_P1).flatten()).unsqueeze(1) > 0
    allowed_PV = next_PV != -1  # NOWHERE
    biased_PV = logits_SV.index_select(0, rows.streams_P) + rows.biases_PV
    masked_PV = biased_PV.masked_fill(~(allowed_PV | may_end_P1), -float("inf"))
    highest_P1 = masked_PV.amax(dim=-1, keepdim=True)
    relative_PV = (masked_PV - highest_P1) * rows.sampling.inverse_temperature
    weights_PV = sampling_weights(relative_PV)
    end_P1 = cumulative_sums(weights_PV.masked_fill(allowed_PV, 0.0))[:, -1:]
    weights_PE = torch.cat([weights_PV.masked_fill(~allowed_PV, 0.0), end_P1], dim=1)
    ended_P1 = torch.full_like(row_P1, -1)  # ENDED
    next_PE = torch.cat([next_PV.long(), ended_P1], dim=1)
    return weighted_candidates(weights_PE, rows.sampling), next_PE


def _advance(drawn_P: Tensor, next_PE: Tensor, forced_P: Tensor, rows: ConstraintRows) -> Tensor:
    """Advance the patterns, and return the ids of a step: drawn, forced, or 0 after the end.

    Args:
        drawn_P: what was drawn, V for the end of the text.
        next_PE: the result of `_candidates`.
        forced_P: the characters to take instead, -1 where one is drawn.
        rows: the constraints, whose states and lengths change.
    """
    running_P = rows.states_P >= 0
    draws_P = running_P & (forced_P < 0)
    ends_P = draws_P & (drawn_P == next_PE.size(1) - 1)
    rows.lengths_P.add_((running_P & ~ends_P).long())
    # FINAL, NOWHERE (only from weights that are not finite) and the end itself end the text.
    next_P = next_PE.gather(1, drawn_P.unsqueeze(1)).squeeze(1).clamp_min(-1)
    rows.states_P.copy_(torch.where(draws_P, next_P, rows.states_P))
    shown_P = torch.where(draws_P & ~ends_P, drawn_P, torch.zeros_like(drawn_P))
    return torch.where(forced_P < 0, shown_P, forced_P)
