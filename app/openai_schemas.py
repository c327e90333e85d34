"""OpenAI's schemas: the bodies of /v1, as OpenAI's clients and benchmark tools know them.

One token is one character, and a token's id is the character's place in the vocabulary.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.schemas import DEFAULT_PRIME, Stops
from model.sampling import MAX_SEED, MAX_TEMPERATURE
from model.scores import MOST_ALTERNATIVES

DEFAULT_MAX_TOKENS = 16  # as with OpenAI
MOST_CHOICES = 128  # of a prompt, as with OpenAI

_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_PROMPT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        _IDS,
        {"type": "array", "items": _IDS, "minItems": 1},
    ]
}


def _prompts(value: Any) -> Any:
    """Every way to write prompts, as a list of texts and of lists of ids."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if _are_ids(value):
            return [value]
        if all(isinstance(prompt, str) for prompt in value) or all(map(_are_ids, value)):
            return value
    raise PydanticCustomError(
        "prompt", "must be a string, a list of strings, a list of token ids or a list of such lists"
    )


def _are_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(type(part) is int and part >= 0 for part in value)
    )


def _only(neutral: Any) -> Any:
    """A field that is taken at one value alone: any other would change the text."""

    def check(value: Any) -> Any:
        if value == neutral:
            return value
        raise PydanticCustomError(
            "unsupported",
            "is not supported: leave it out or send {neutral}",
            {"neutral": json.dumps(neutral)},
        )

    return AfterValidator(check)


_Zero = Annotated[float, _only(0), Field(json_schema_extra={"enum": [0]})]
_One = Annotated[float, _only(1), Field(json_schema_extra={"enum": [1]})]
_No = Annotated[bool, _only(False), Field(json_schema_extra={"enum": [False]})]
_NoList = Annotated[list[Any], _only([]), Field(json_schema_extra={"maxItems": 0})]
_Meaningless = Annotated[Any, Field(description="Accepted; means nothing here.")]


def _without_nulls(data: Any) -> Any:
    """Null stands for a field that is left out, as with OpenAI."""
    if not isinstance(data, dict):
        return data
    return {name: value for name, value in data.items() if value is not None}


def _allow_nulls(schema: dict[str, Any]) -> None:
    """Says in a schema what `_without_nulls` does."""
    null = {"type": "null"}
    schema["additionalProperties"] = null
    for name, field in schema["properties"].items():
        told = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
        if field and null not in field.get("anyOf", []):
            field = {"anyOf": [field, null]}
        schema["properties"][name] = {**field, **told}


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_allow_nulls)

    include_usage: bool = Field(False, description="A last chunk, without choices, counts tokens.")
    continuous_usage_stats: bool = Field(
        False, description="Every chunk counts the tokens of its choice so far."
    )
    include_obfuscation: _Meaningless = None

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        return _without_nulls(data)


class CompletionRequest(BaseModel):
    """What to generate and how, in OpenAI's words."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra=_allow_nulls
    )

    model: str | None = Field(
        None, max_length=200, description="Name or hash of the loaded model; left out: whichever."
    )
    prompt: Annotated[
        list[str] | list[list[int]], BeforeValidator(_prompts), WithJsonSchema(_PROMPT)
    ] = Field([DEFAULT_PRIME], description="One or several texts to go on from, or their ids.")
    max_tokens: int = Field(DEFAULT_MAX_TOKENS, ge=0, description="Characters to generate.")
    n: int = Field(
        1,
        ge=1,
        le=MOST_CHOICES,
        description="Texts for each prompt; the i-th has the seed `seed` + i, counted from 0.",
    )
    best_of: int | None = Field(None, ge=1, description="1 or n: nothing is ranked here.")
    echo: bool = Field(False, description="Begin with the prompt.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MOST_ALTERNATIVES,
        description="Log-probability of each character, and of so many of the likeliest ones.",
    )
    stop: Stops = Field([], description="End before the first of these strings.")
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="The same seed gives the same text; drawn if absent."
    )
    temperature: float = Field(1.0, ge=0, le=MAX_TEMPERATURE)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(
        -1,
        ge=-1,
        description="Draw from this many most likely characters only; -1 and 0, the default: all.",
    )
    min_p: float = Field(0.0, ge=0, le=1)
    min_tokens: int = Field(0, ge=0, description="Met without doing anything, but not with `stop`.")
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    unknown: Literal["reject", "skip"] = Field(
        "reject", description="What happens to a prompt's characters that the model does not know."
    )

    presence_penalty: _Zero = 0
    frequency_penalty: _Zero = 0
    repetition_penalty: _One = 1
    length_penalty: _One = 1
    typical_p: _One = 1
    suffix: Annotated[str, _only(""), Field(json_schema_extra={"maxLength": 0})] = ""
    logit_bias: Annotated[
        dict[str, Any], _only({}), Field(json_schema_extra={"maxProperties": 0})
    ] = {}
    bad_words: _NoList = []
    stop_token_ids: _NoList = []
    use_beam_search: _No = False
    include_stop_str_in_output: _No = False

    user: _Meaningless = None
    metadata: _Meaningless = None
    store: _Meaningless = None
    service_tier: _Meaningless = None
    safety_identifier: _Meaningless = None
    prompt_cache_key: _Meaningless = None
    ignore_eos: _Meaningless = None
    request_id: _Meaningless = None
    priority: _Meaningless = None
    add_special_tokens: _Meaningless = None
    skip_special_tokens: _Meaningless = None
    spaces_between_special_tokens: _Meaningless = None

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        return _without_nulls(data)


class Logprobs(BaseModel):
    """The model's own view of a choice's characters, in natural logarithms."""

    tokens: list[str]
    token_logprobs: list[float | None] = Field(description="Null for a prompt's first character.")
    top_logprobs: list[dict[str, float] | None] = Field(
        description="Of the likeliest characters, and of the one that came."
    )
    text_offset: list[int] = Field(description="Where in the choice's text each character stands.")


class Choice(BaseModel):
    """One text, or in a stream one piece of it."""

    index: int = Field(description="The prompt's place times n, and the place among its n texts.")
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["length", "stop"] | None
    seed: int = Field(description="That gives this text again.")


class PromptTokensDetails(BaseModel):
    """Of the prompts' characters."""

    cached_tokens: int = Field(description="Those that needed no computing.")


class CompletionUsage(BaseModel):
    """Characters read and made; a prompt counts once, however many texts go on from it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None


class CompletionResponse(BaseModel):
    """Texts, all at once; a chunk of a stream has the same shape."""

    id: str
    object: Literal["text_completion"]
    created: int = Field(description="Seconds since 1970.")
    model: str
    system_fingerprint: str = Field(description="The model's hash.")
    choices: list[Choice]
    usage: CompletionUsage | None = None


class ModelCard(BaseModel):
    """A model that is loaded."""

    id: str
    object: Literal["model"]
    created: int = Field(description="When it was loaded, in seconds since 1970.")
    owned_by: str
    hash: str = Field(description="Of the checkpoint's content; counts as its name too.")
    max_model_len: int = Field(description="The most characters of a prompt and a text together.")


class ModelList(BaseModel):
    """The models that are loaded: one."""

    object: Literal["list"]
    data: list[ModelCard]


class OpenAIError(BaseModel):
    """What is wrong."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field at fault, if one is.")
    code: str


class OpenAIErrorBody(BaseModel):
    """Every answer of /v1 that is not a success."""

    error: OpenAIError
