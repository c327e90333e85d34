"""Field types: types of request fields, in JSON and as text in a query string."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from model.choice.constraint import MAX_BIAS, MAX_BIASES
from model.choice.held_cell import MAX_CELL_STATE, MAX_HELD_CELLS, HeldCell, repeated_cell
from model.choice.sampling_params import MAX_SEED, MAX_TEMPERATURE
from model.patterns.syntax import MAX_CHARACTERS

# Numbers -------------------------------------------------------------------------------------


def _null_in_query(value: Any, info: ValidationInfo) -> Any:
    """Read an empty value or the word "null" of a query string as null."""
    return None if info.mode == "python" and value in ("", "null") else value


def _in_query(pattern: str, kind: Literal["int_parsing", "float_parsing"]) -> BeforeValidator:
    """Refuse strings of a query string that only Python reads as a number, such as "1_0"."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if info.mode == "python" and isinstance(value, str) and not re.fullmatch(pattern, value):
            raise PydanticKnownError(kind)
        return value

    return BeforeValidator(check)


_INTEGER_IN_QUERY = _in_query("[+-]?[0-9]+", "int_parsing")
_NUMBER_IN_QUERY = _in_query(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", "float_parsing"
)

OrNull = BeforeValidator(_null_in_query)
Integer = Annotated[int, _INTEGER_IN_QUERY]
Number = Annotated[float, _NUMBER_IN_QUERY]

# Numbers that both APIs have. A validator for query strings stands after the range: what stands
# after a validator has no place in the JSON schema.
Temperature = Annotated[
    float,
    Field(
        ge=0,
        le=MAX_TEMPERATURE,
        description="Values below 1 make likely characters likelier, values above 1 make the "
        "text more random. 0 always takes the most likely character.",
    ),
    _NUMBER_IN_QUERY,
]
Seed = Annotated[
    Annotated[int, Field(ge=0, le=MAX_SEED), _INTEGER_IN_QUERY] | None,
    OrNull,
    Field(
        description="Seed of the random numbers. The same seed gives the same text. The server "
        "chooses one if absent."
    ),
]

# Stop strings --------------------------------------------------------------------------------


def _in_a_list(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise PydanticCustomError("stop", "must be a string or a list of strings")
    return [value] if isinstance(value, str) else value


_STOP = {"type": "string", "minLength": 1, "maxLength": 1000}
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000)]],
    Field(max_length=4, description="The text ends before the first of these strings."),
    BeforeValidator(_in_a_list),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": 4}]}),
]

# Patterns and biases -------------------------------------------------------------------------

PatternText = Annotated[
    Annotated[str, Field(max_length=MAX_CHARACTERS)] | None,
    OrNull,
    Field(
        description="A regular expression of Python that the whole text must match, without "
        "lookaround, backreferences and word boundaries. Only characters that can still lead to a "
        "match are drawn. Where the match may end, the text ends if one of the other characters is "
        "drawn."
    ),
]
Bias = Annotated[Number, Field(ge=-MAX_BIAS, le=MAX_BIAS)]

_ID = re.compile("0|[1-9][0-9]{0,8}")


def _one_character(key: str) -> str:
    if len(key) != 1:
        raise PydanticCustomError("character", "the key must be a single character")
    return key


def _id_of(key: str | int) -> int:
    """Return the number that a key of a JSON object is the text of."""
    if isinstance(key, str) and not _ID.fullmatch(key):
        raise PydanticCustomError("token_id", "the key must be a token id, such as 5")
    return int(key)


_CHARACTER_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 1}
_Character = Annotated[str, AfterValidator(_one_character), WithJsonSchema(_CHARACTER_SCHEMA)]
_TokenId = Annotated[int, BeforeValidator(_id_of), Field(ge=0)]

CharacterBiases = Annotated[dict[_Character, Bias], Field(max_length=MAX_BIASES)]
TokenBiases = Annotated[dict[_TokenId, Bias], Field(max_length=MAX_BIASES)]


class BiasItem(BaseModel):
    """A character, and a number to add to its logit."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    character: str
    bias: Bias


def _bias_fields(text: Any) -> Any:
    """Split CHARACTER:BIAS into the fields of `BiasItem`. The character may be a colon."""
    character, _, bias = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if len(character) != 1:
        raise PydanticCustomError("bias_text", "must be CHARACTER:BIAS, such as e:-100")
    return {"character": character, "bias": bias}


def _different_characters(items: list[BiasItem]) -> list[BiasItem]:
    if len({item.character for item in items}) < len(items):
        raise PydanticCustomError("repeated_character", "must have each character once")
    return items


_BIAS_SCHEMA = {"type": "string", "pattern": "^[\\s\\S]:[-+.0-9eE]+$"}
_BiasText = Annotated[BiasItem, BeforeValidator(_bias_fields), WithJsonSchema(_BIAS_SCHEMA)]
BiasTexts = Annotated[
    list[_BiasText], Field(max_length=MAX_BIASES), AfterValidator(_different_characters)
]

# Held cells ----------------------------------------------------------------------------------


class Cell(BaseModel):
    """A cell of the LSTM."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    layer: Integer = Field(ge=0, description="Layer of the cell, counted from 0.")
    cell: Integer = Field(ge=0, description="Number of the cell in its layer, counted from 0.")


class Hold(Cell):
    """A cell of the LSTM, and the state that it keeps while the text is generated."""

    value: Number = Field(
        ge=-MAX_CELL_STATE, le=MAX_CELL_STATE, description="State of the cell, before tanh."
    )


def _different_cells(holds: list[Hold]) -> list[Hold]:
    repeated = repeated_cell((hold.layer, hold.cell) for hold in holds)
    if repeated is not None:
        raise PydanticCustomError(
            "repeated_cell",
            "must name each cell once: cell {cell} of layer {layer} is there twice",
            {"layer": repeated[0], "cell": repeated[1]},
        )
    return holds


def _hold_fields(text: Any) -> Any:
    """Split LAYER:CELL:VALUE into the fields of `Hold`, which are checked later."""
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) != len(Hold.model_fields):
        raise PydanticCustomError("hold_text", "must be LAYER:CELL:VALUE, such as 1:293:-2")
    return dict(zip(Hold.model_fields, parts, strict=True))


_HOLD_SCHEMA = {"type": "string", "pattern": "^[0-9]+:[0-9]+:[-+.0-9eE]+$"}
_HoldText = Annotated[Hold, BeforeValidator(_hold_fields), WithJsonSchema(_HOLD_SCHEMA)]
_MAX_HOLDS = Field(max_length=MAX_HELD_CELLS)

Holds = Annotated[list[Hold], _MAX_HOLDS, AfterValidator(_different_cells)]
HoldTexts = Annotated[list[_HoldText], _MAX_HOLDS, AfterValidator(_different_cells)]


def held_cells(holds: Sequence[Hold]) -> tuple[HeldCell, ...]:
    """Return the cells that a request holds."""
    return tuple(HeldCell(hold.layer, hold.cell, hold.value) for hold in holds)
