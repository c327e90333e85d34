"""Hold: the field `hold` of requests, in JSON and in a query string."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.api.query_values import Integer, Number
from model.choice.held_cell import MAX_CELL_STATE, MAX_HELD_CELLS, HeldCell, repeated_cell

_TEXT = re.compile(r"([^:]*):([^:]*):([^:]*)")


class Hold(BaseModel):
    """A cell of the LSTM, and the state that it keeps while the text is generated."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    layer: Integer = Field(ge=0, description="Layer of the cell, counted from 0.")
    cell: Integer = Field(ge=0, description="Number of the cell in its layer, counted from 0.")
    value: Number = Field(
        ge=-MAX_CELL_STATE,
        le=MAX_CELL_STATE,
        description="State of the cell, before tanh.",
    )


def _different(holds: list[Hold]) -> list[Hold]:
    repeated = repeated_cell((hold.layer, hold.cell) for hold in holds)
    if repeated is not None:
        raise PydanticCustomError(
            "repeated_cell",
            "must name each cell once: cell {cell} of layer {layer} is there twice",
            {"layer": repeated[0], "cell": repeated[1]},
        )
    return holds


def _fields_of(text: Any) -> Any:
    """Split LAYER:CELL:VALUE into the fields of `Hold`, which are checked later."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise PydanticCustomError("hold_text", "must be LAYER:CELL:VALUE, such as 1:293:-2")
    return dict(zip(("layer", "cell", "value"), found.groups(), strict=True))


_MAX_HOLDS = Field(max_length=MAX_HELD_CELLS)
_TEXT_SCHEMA = {"type": "string", "pattern": "^[0-9]+:[0-9]+:[-+.0-9eE]+$"}
_HoldText = Annotated[Hold, BeforeValidator(_fields_of), WithJsonSchema(_TEXT_SCHEMA)]

Holds = Annotated[list[Hold], _MAX_HOLDS, AfterValidator(_different)]
HoldTexts = Annotated[list[_HoldText], _MAX_HOLDS, AfterValidator(_different)]


def held_cells(holds: Sequence[Hold]) -> tuple[HeldCell, ...]:
    """Return the cells that a request holds."""
    return tuple(HeldCell(hold.layer, hold.cell, hold.value) for hold in holds)
