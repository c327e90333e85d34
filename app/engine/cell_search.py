"""CellSearch: the search for the cells that follow a property of a text.

A search reads the text twice: first to correlate all cells with the property, then to return the
values of those that it found. So its memory does not depend on the length of the text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.cells.correlation import CellCorrelation, Floats, strongest
from model.choice.read_cells import CellNumbers, CellValues


class CellSearch(NamedTuple):
    """What to search for."""

    property_n: Floats  # value of the property at each character of the text
    top: int  # number of cells to find


class FoundCells(NamedTuple):
    """The cells with the largest absolute correlations, largest first."""

    cells: CellNumbers
    correlations: Floats


class CellFinder:
    """Correlates cells with a property, chunk by chunk.

    Args:
        search: what to search for.
        cells: the cells to search.
    """

    def __init__(self, search: CellSearch, cells: CellNumbers) -> None:
        self._search, self._cells, self._read = search, cells, 0
        self._correlation = CellCorrelation(len(cells))

    def add(self, values_bC: CellValues) -> None:
        """Add the values of all cells after each of the next characters."""
        last = self._read + len(values_bC)
        self._correlation.add(values_bC, self._search.property_n[self._read : last, np.newaxis])
        self._read = last

    def found(self) -> FoundCells:
        """Return the result. It is complete when the values of the whole text were added."""
        coefficients = self._correlation.coefficients()[0]
        places = strongest(coefficients, self._search.top)
        return FoundCells(self._cells[places], coefficients[places])
