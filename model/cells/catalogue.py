"""Cell catalogue: for each named property of a text, the cell that tracks it best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

MAX_PROPERTY_LENGTH = 64  # characters of a property's name
_MAX_CELLS = 256  # in a catalogue


@dataclass(frozen=True)
class TrackedCell:
    """The cell of a network that tracks a property best.

    Raises:
        ValueError: if a value has the wrong type or is out of range.
    """

    property: str  # 1 to 64 printable characters; this version may not know the property
    layer: int  # counted from 0
    cell: int  # counted from 0
    correlation: float  # -1 to 1, Pearson's correlation with tanh of the cell state

    def __post_init__(self) -> None:
        name, correlation = self.property, self.correlation
        if not isinstance(name, str) or not 0 < len(name) <= MAX_PROPERTY_LENGTH:
            raise ValueError(
                f"property must have 1 to {MAX_PROPERTY_LENGTH} characters: {name!a:.80}"
            )
        if not name.isprintable():
            raise ValueError(f"property must have printable characters only, got {name!a:.80}")
        for field in ("layer", "cell"):
            value = getattr(self, field)
            if type(value) is not int or value < 0:
                raise ValueError(f"{field} must be an integer of at least 0, got {value!a:.40}")
        if isinstance(correlation, bool) or not isinstance(correlation, int | float):
            raise ValueError(f"correlation must be a number, got {correlation!a:.40}")
        if not -1 <= correlation <= 1:  # also if it is NaN
            raise ValueError(f"correlation must be in -1..1, got {correlation!a:.40}")


Catalogue = tuple[TrackedCell, ...]


def catalogue_json(catalogue: Sequence[TrackedCell]) -> str:
    """Return a catalogue as JSON: a list of objects with the fields of `TrackedCell`."""
    return json.dumps([asdict(tracked) for tracked in catalogue])


def parse_catalogue(items: Sequence[Any], layers: int, hidden_size: int) -> Catalogue:
    """Return the catalogue of a JSON list for a network with these sizes.

    Raises:
        ValueError: if an item has other fields than `TrackedCell` or a value that is out of range,
            if a property occurs twice, or if there are more than 256 items.
    """
    if len(items) > _MAX_CELLS:
        raise ValueError(f"a catalogue has at most {_MAX_CELLS} cells, got {len(items)}")
    catalogue = tuple(_tracked_cell(item) for item in items)
    for tracked in catalogue:
        if tracked.layer >= layers or tracked.cell >= hidden_size:
            raise ValueError(
                f"layer {tracked.layer!a:.40}, cell {tracked.cell!a:.40} is not part of a network "
                f"with {layers} layers of {hidden_size} cells"
            )
    if len({tracked.property for tracked in catalogue}) != len(catalogue):
        raise ValueError("a property occurs twice")
    return catalogue


def _tracked_cell(item: Any) -> TrackedCell:
    expected = [field.name for field in fields(TrackedCell)]
    if not isinstance(item, dict) or set(item) != set(expected):
        raise ValueError(f"each item must have exactly {', '.join(expected)}, got {item!a:.80}")
    return TrackedCell(**item)
