"""Cell correlation: Pearson's correlation of many cells with properties or spans of a text.

Shape letters: n characters, b characters of a block, C cells, P properties.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.errors import CorrelationError

Floats = npt.NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 20  # values that are converted to float64 at the same time


class CellCorrelation:
    """Collects cells and properties block by block, and correlates each cell with each property.

    Memory does not depend on the number of characters. Means and sums of squared deviations of the
    blocks are merged as Chan, Golub and LeVeque (1979) describe, so that no large numbers are
    subtracted from each other.

    Args:
        cells: number of cells, C.
        properties: number of properties, P.
    """

    def __init__(self, cells: int, properties: int = 1) -> None:
        self._characters = 0
        self._origin: tuple[Floats, Floats] | None = None  # the first character's values
        self._means = np.zeros(cells), np.zeros(properties)
        self._squares = np.zeros(cells), np.zeros(properties)
        self._products_PC = np.zeros((properties, cells))

    def add(
        self, values_bC: npt.NDArray[np.floating], properties_bP: npt.NDArray[np.floating]
    ) -> None:
        """Add the next characters of a text.

        Args:
            values_bC: values of the cells after each character.
            properties_bP: values of the properties at each character.
        """
        rows = max(1, _BLOCK_NUMBERS // max(1, values_bC.shape[1]))
        for first in range(0, len(values_bC), rows):
            self._add_block(values_bC[first : first + rows], properties_bP[first : first + rows])

    @property
    def varies(self) -> npt.NDArray[np.bool_]:
        """Whether each property has had more than one value, (P,)."""
        return self._squares[1] > 0

    def coefficients(self) -> Floats:
        """Return the correlation of each property with each cell, (P, C), in -1..1.

        It is 0 if the cell or the property has had one value only.
        """
        cells, properties = (np.sqrt(squares) for squares in self._squares)
        scales_PC = properties[:, None] * cells
        quotients_PC: Floats = np.divide(
            self._products_PC, scales_PC, out=np.zeros_like(scales_PC), where=scales_PC > 0
        )
        return np.clip(quotients_PC, -1, 1, out=quotients_PC)

    def _add_block(
        self, values_bC: npt.NDArray[np.floating], properties_bP: npt.NDArray[np.floating]
    ) -> None:
        # The values are taken relative to those of the first character. Cells that never change are
        # then exactly 0, and so are their deviations.
        pair = values_bC.astype(np.float64), properties_bP.astype(np.float64)
        self._origin = self._origin or (pair[0][0].copy(), pair[1][0].copy())
        for array, origin in zip(pair, self._origin, strict=True):
            array -= origin
        means = tuple(array.mean(axis=0) for array in pair)
        for array, mean in zip(pair, means, strict=True):
            array -= mean
        self._merge(len(values_bC), means, pair)

    def _merge(self, count: int, means: Sequence[Floats], deviations: Sequence[Floats]) -> None:
        before, self._characters = self._characters, self._characters + count
        weight = before * count / self._characters
        shifts = [new - old for new, old in zip(means, self._means, strict=True)]
        for mean, shift in zip(self._means, shifts, strict=True):
            mean += shift * (count / self._characters)
        for squares, shift, array in zip(self._squares, shifts, deviations, strict=True):
            squares += np.einsum("bn,bn->n", array, array) + weight * shift**2
        self._products_PC += deviations[1].T @ deviations[0] + weight * np.outer(*shifts[::-1])


def check_varies(property_n: npt.NDArray[np.floating], name: str) -> None:
    """Raise CorrelationError if a property has only one value in a text.

    Args:
        property_n: the property's value at each character, from `model.text.properties` or
            `span_values`. There is at least one character.
        name: what the property is, for the message.
    """
    if (property_n == property_n[0]).all():
        raise CorrelationError(
            f"{name} does not vary in this text: it is {property_n[0]:g} at every character, so no "
            "cell can correlate with it; use a text in which it changes"
        )


def span_values(spans: Sequence[Sequence[int]], characters: int) -> Floats:
    """Return 1 at the characters inside any span and 0 at the others.

    Args:
        spans: half-open ranges of characters, two indexes each, counted from 0. They may overlap.
        characters: length of the text.

    Raises:
        CorrelationError: if a span is empty or not inside the text.
    """
    values = np.zeros(characters)
    for begin, end in spans:
        if not 0 <= begin < end <= characters:
            raise CorrelationError(
                f"span [{begin}, {end}] is not part of the text: use 0 <= from < to <= {characters}"
            )
        values[begin:end] = 1
    return values


def strongest(coefficients_C: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return the cells with the largest absolute correlations, largest first.

    Of equal ones, the lowest cell is first.
    """
    return np.argsort(-np.abs(coefficients_C), kind="stable")[:count]
