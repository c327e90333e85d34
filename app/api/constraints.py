"""Constraints: the fields `pattern` and `logit_bias` of requests, and their use."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from app.errors import InvalidFieldError, UnknownInFieldError
from app.middleware.auth import current_client
from app.service import Service
from model.choice.constraint import MAX_BIAS, MAX_BIASES, LogitBias, banned_ids
from model.errors import PatternError, UnknownCharacterError
from model.patterns.pattern import Pattern
from model.patterns.syntax import MAX_CHARACTERS

PATTERN_DESCRIPTION = (
    "A regular expression of Python that the whole text must match, without lookaround, "
    "backreferences and word boundaries. Only characters that can still lead to a match are drawn. "
    "Where the match may end, the text ends if one of the other characters is drawn."
)

PatternText = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Bias = Annotated[Number, Field(ge=-MAX_BIAS, le=MAX_BIAS)]


def _one_character(key: str) -> str:
    if len(key) != 1:
        raise PydanticCustomError("character", "the key must be a single character")
    return key


_CHARACTER_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 1}
_Character = Annotated[str, AfterValidator(_one_character), WithJsonSchema(_CHARACTER_SCHEMA)]


def _id_of(key: str | int) -> int:
    """Return the number that a key of a JSON object is the text of."""
    if isinstance(key, str) and not _ID.fullmatch(key):
        raise PydanticCustomError("token_id", "the key must be a token id, such as 5")
    return int(key)


_ID = re.compile("0|[1-9][0-9]{0,8}")
_TokenId = Annotated[int, BeforeValidator(_id_of), Field(ge=0)]

CharacterBiases = Annotated[dict[_Character, Bias], Field(max_length=MAX_BIASES)]
TokenBiases = Annotated[dict[_TokenId, Bias], Field(max_length=MAX_BIASES)]


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
BiasTexts = Annotated[list[_BiasText], Field(max_length=MAX_BIASES), AfterValidator(_different)]


def encode_biases(service: Service, field: str, biases: Mapping[str, float]) -> LogitBias:
    """Return the ids of characters with what is added to their logits.

    Raises:
        UnknownInFieldError: if the vocabulary lacks a character.
        InvalidFieldError: if every character is banned.
    """
    try:
        ids = service.vocabulary.encode("".join(biases))
    except UnknownCharacterError as error:
        raise UnknownInFieldError(field, error) from error
    return check_biases(service, field, dict(zip(ids.tolist(), biases.values(), strict=True)))


def check_biases(service: Service, field: str, biases: Mapping[int, float]) -> LogitBias:
    """Return biases of ids without those that change nothing.

    Raises:
        InvalidFieldError: if an id is not in the vocabulary, or every character is banned.
    """
    size = len(service.vocabulary)
    for character in biases:
        if character not in range(size):
            raise InvalidFieldError(field, character, f"token ids must be from 0 to {size - 1}")
    kept = tuple((character, bias) for character, bias in biases.items() if bias)
    if len(banned_ids(kept) | {service.vocabulary.unknown_id} - {None}) == size:
        message = "must leave a character that the model can write"
        raise InvalidFieldError(field, f"{len(kept)} biases", message)
    return kept


async def compiled(
    service: Service, field: str, expression: str | None, biases: LogitBias, kept: int
) -> Pattern | None:
    """Return the pattern that a text must match, or None if there is no expression.

    Between the return and the submission of a job, the caller must not wait, see `Service.idle`.

    Args:
        service: compiles the pattern.
        field: name of the request's field, for error messages.
        expression: a regular expression.
        biases: the biases of the request. The text cannot have characters that they ban.
        kept: bytes that the request keeps meanwhile.

    Raises:
        InvalidFieldError: if the expression cannot be used.
    """
    if expression is None:
        return None
    banned, client = banned_ids(biases), current_client()
    try:
        return await service.patterns.get(expression, banned, client, kept)
    except PatternError as error:
        raise InvalidFieldError(field, expression, str(error)) from error
