"""Read cells: the cells of the LSTM whose values a decoder returns after each character.

Shape letters: k steps, S streams, C cells of all streams together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CellNumbers = npt.NDArray[np.int32]  # each is layer * hidden_size + cell; both count from 0
CellValues = npt.NDArray[np.float32]  # tanh of the cell states, (characters, cells)

NO_CELLS: CellNumbers = np.empty(0, np.int32)
NO_CELLS.flags.writeable = False


class ReadCellColumns(NamedTuple):
    """The cells that S streams read. The names are those of the native kernel's fields."""

    read_offsets: npt.NDArray[np.int32]  # (S + 1,), where the cells of each stream begin
    read_cells: npt.NDArray[np.int32]  # (C,), layer * width + cell

    @classmethod
    def of(
        cls, cells: Sequence[CellNumbers], hidden_size: int, width: int
    ) -> ReadCellColumns | None:
        """Return the columns, or None if no stream reads a cell.

        Args:
            cells: the cells of each stream.
            hidden_size: number of cells of a layer.
            width: cells of a layer in the backend's memory, with padding.
        """
        if not any(map(len, cells)):
            return None
        offsets = np.cumsum([0, *map(len, cells)]).astype(np.int32)
        layers, numbers = np.divmod(np.concatenate(cells), hidden_size)
        return cls(offsets, (layers * width + numbers).astype(np.int32))

    def values(self, states_kC: CellValues) -> list[CellValues]:
        """Return the values of each stream's cells, from the states of all cells.

        `np.tanh` computes each element in the same way, wherever it is in an array.
        """
        return np.split(np.tanh(states_kC), self.read_offsets[1:-1], axis=1)
