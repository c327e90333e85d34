"""Held cells in torch: keep the states of cells at the values that streams hold.

The native kernel holds cells in `model/native/held_cells.h`.

Shape letters: S streams, W padded hidden size, X = layers * W.
"""

# No `from __future__ import annotations` here: TorchScript reads HeldCellRows' field types.
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.choice.held_cell import HeldCellColumns
from model.choice.sampling_params import SamplingParams


class HeldCellRows(NamedTuple):
    """The cells that S streams hold during some steps."""

    states_SX: Tensor  # float32, NaN where a cell is not held
    first_step_S1: Tensor  # int64, the first step in which the stream holds its cells


def held_states(
    params: Sequence[SamplingParams], layers: int, size: int, device: torch.device
) -> Tensor | None:
    """Return the states that S streams hold, or None if none holds a cell.

    Args:
        params: the sampling parameters of the streams.
        layers: number of layers.
        size: X.
        device: device of the result.

    Returns:
        states, float32 (S, X), NaN where a cell is not held.
    """
    columns = HeldCellColumns.of([p.hold for p in params], size // layers)
    if columns is None:
        return None
    states_SX = torch.full((len(params), size), torch.nan)
    for row, count in enumerate(columns.hold_counts.tolist()):
        cells = torch.from_numpy(columns.hold_cells[row, :count]).long()
        states_SX[row, cells] = torch.from_numpy(columns.hold_values[row, :count])
    return states_SX.to(device)


def held_in_step(rows: HeldCellRows | None, step: int) -> Tensor | None:
    """Return the states that streams hold in a step, float32 (S, X), NaN where none is held."""
    if rows is None:
        return None
    return rows.states_SX.masked_fill(rows.first_step_S1 > step, float("nan"))


def hold(cell_SW: Tensor, held_SW: Tensor) -> None:
    """Replace the states of held cells in place."""
    cell_SW.copy_(torch.where(held_SW.isnan(), cell_SW, held_SW))
