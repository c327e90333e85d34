"""HeldCell: a cell of the LSTM whose state stays at a value while a text is generated.

Shape letters: S streams, M = MAX_HELD_CELLS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.errors import SamplingError

MAX_HELD_CELLS = 8  # of one stream
MAX_CELL_STATE = 8.0  # tanh of it differs from 1 by 2e-7


@dataclass(frozen=True)
class HeldCell:
    """A cell and the value of its state, before tanh. Layers and cells count from 0.

    Raises:
        SamplingError: if a number is out of range.
    """

    layer: int
    cell: int
    value: float  # -8 to 8

    def __post_init__(self) -> None:
        if self.layer < 0 or self.cell < 0:
            raise SamplingError(
                f"the layer and the cell of hold must be at least 0, got {self.layer} and "
                f"{self.cell}"
            )
        if not -MAX_CELL_STATE <= self.value <= MAX_CELL_STATE:
            raise SamplingError(f"the value of hold must be in -8..8, got {self.value}")


def repeated_cell(cells: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the first (layer, cell) that comes a second time, or None."""
    seen: set[tuple[int, int]] = set()
    for cell in cells:
        if cell in seen:
            return cell
        seen.add(cell)
    return None


def check_held_cells(held: Sequence[HeldCell]) -> None:
    """Raise SamplingError if a stream would hold too many cells, or a cell twice."""
    if len(held) > MAX_HELD_CELLS:
        raise SamplingError(f"hold must have at most {MAX_HELD_CELLS} cells, got {len(held)}")
    repeated = repeated_cell((one.layer, one.cell) for one in held)
    if repeated is not None:
        layer, cell = repeated
        raise SamplingError(f"hold must name each cell once, got layer {layer}, cell {cell} twice")


class HeldCellColumns(NamedTuple):
    """The held cells of S streams. The names are those of the native kernel's fields."""

    hold_counts: npt.NDArray[np.int32]  # (S,)
    hold_cells: npt.NDArray[np.int32]  # (S, M), layer * width + cell
    hold_values: npt.NDArray[np.float32]  # (S, M)

    @classmethod
    def of(cls, held: Sequence[Sequence[HeldCell]], width: int) -> HeldCellColumns | None:
        """Return the columns, or None if no stream holds a cell.

        Args:
            held: the held cells of each stream.
            width: cells of a layer in the backend's memory, with padding.
        """
        if not any(map(len, held)):
            return None
        columns = cls(
            np.array([len(cells) for cells in held], np.int32),
            np.zeros((len(held), MAX_HELD_CELLS), np.int32),
            np.zeros((len(held), MAX_HELD_CELLS), np.float32),
        )
        for row, cells in enumerate(held):
            columns.hold_cells[row, : len(cells)] = [c.layer * width + c.cell for c in cells]
            columns.hold_values[row, : len(cells)] = [c.value for c in cells]
        return columns
