"""Constraints: the types of the fields `pattern` and `logit_bias` of requests."""

from __future__ import annotations

import re
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

from app.api.query_values import Number
from model.constraint import MOST_BIAS, MOST_BIASES
from model.pattern_syntax import MOST_CHARACTERS

PATTERN_DESCRIPTION = (
    "A regular expression of Python that the whole text must match, without lookaround, "
    "backreferences and word boundaries. Only characters that can still lead to a match are drawn. "
    "Where the match may end, the text ends if one of the other characters is drawn."
)

PatternText = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Bias = Annotated[Number, Field(ge=-MOST_BIAS, le=MOST_BIAS)]
_Character = Annotated[str, Field(min_length=1, max_length=1)]


def _id_of(key: Any) -> Any:
    """Return the number that a key of a JSON object is the text of."""
    return int(key) if isinstance(key, str) and _ID.fullmatch(key) else key


_ID = re.compile("[0-9]{1,9}")
_TokenId = Annotated[int, BeforeValidator(_id_of), Field(ge=0)]

CharacterBiases = Annotated[dict[_Character, Bias], Field(max_length=MOST_BIASES)]
TokenBiases = Annotated[dict[_TokenId, Bias], Field(max_length=MOST_BIASES)]


class BiasItem(BaseModel):
    """A character, and a number to add to its logit."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    character: str
    bias: Bias


def _fields_of(text: Any) -> Any:
    """Split CHARACTER:BIAS into the fields of `BiasItem`. The character may be a colon."""
    character, _, bias = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if len(character) != 1:
        raise PydanticCustomError("bias_text", "must be CHARACTER:BIAS, such as e:-100")
    return {"character": character, "bias": bias}


def _different(items: list[BiasItem]) -> list[BiasItem]:
    if len({item.character for item in items}) < len(items):
        raise PydanticCustomError("repeated_character", "must have each character once")
    return items


_TEXT_SCHEMA = {"type": "string", "pattern": "^[\\s\\S]:[-+.0-9eE]+$"}
_BiasText = Annotated[BiasItem, BeforeValidator(_fields_of), WithJsonSchema(_TEXT_SCHEMA)]
BiasTexts = Annotated[list[_BiasText], Field(max_length=MOST_BIASES), AfterValidator(_different)]
