"""CompletionRequest: the body of POST /v1/completions, as OpenAI's clients send it.

One token is one character. The id of a token is the index of the character in the vocabulary.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

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

from app.api.field_types import (
    Holds,
    PatternText,
    Seed,
    Stops,
    Temperature,
    TokenBiases,
    held_cells,
)
from app.api.schemas import DEFAULT_PRIME, MEMORY
from app.settings import Unknown
from model.choice.sampling_params import SamplingParams
from model.choice.scores import MAX_ALTERNATIVES

DEFAULT_MAX_TOKENS = 16  # as in OpenAI's API
MAX_CHOICES = 128  # per prompt, as in OpenAI's API

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
    """Return prompts in any of OpenAI's forms as a list of texts, or a list of lists of ids."""
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
    is_list = isinstance(value, list) and len(value) > 0
    return is_list and all(type(part) is int and part >= 0 for part in value)


def _only(neutral: Any) -> Any:
    """Accept only the neutral value of a field that is not supported."""

    def check(value: Any) -> Any:
        if value == neutral:
            return value
        raise PydanticCustomError(
            "unsupported",
            "is not supported: omit it or send {neutral}",
            {"neutral": json.dumps(neutral)},
        )

    return AfterValidator(check)


_Zero = Annotated[float, _only(0), Field(json_schema_extra={"enum": [0]})]
_One = Annotated[float, _only(1), Field(json_schema_extra={"enum": [1]})]
_No = Annotated[bool, _only(False), Field(json_schema_extra={"enum": [False]})]
_NoList = Annotated[list[Any], _only([]), Field(json_schema_extra={"maxItems": 0})]


def _forget(_: Any) -> None:
    """Replace the value of an ignored field, which may be large. A request may wait for minutes."""


_Ignored = Annotated[Any, AfterValidator(_forget), Field(description="Accepted and ignored.")]


def _allow_nulls(schema: dict[str, Any]) -> None:
    """Describe in a schema that null is an absent field."""
    null = {"type": "null"}
    schema["additionalProperties"] = null
    for name, field in schema["properties"].items():
        kept = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
        if field and null not in field.get("anyOf", []):
            field = {"anyOf": [field, null]}
        schema["properties"][name] = {**field, **kept}


class _Parameters(BaseModel):
    """An object of a request. Null is an absent field, as in OpenAI's API."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_allow_nulls)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}


class StreamOptions(_Parameters):
    """Options of a stream: what it reports in addition to the text."""

    include_usage: bool = Field(
        False, description="Send the token counts in a last chunk without choices."
    )
    continuous_usage_stats: bool = Field(
        False, description="Send the token counts of the choice so far in every chunk."
    )
    include_obfuscation: _Ignored = None


class StructuredOutputs(_Parameters):
    """What a text must look like, with vLLM's names. Only regular expressions are supported."""

    regex: PatternText = None


class CompletionRequest(_Parameters):
    """Parameters of a completion, with OpenAI's names."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str | None = Field(
        None,
        max_length=200,
        description="Name or hash of the model to use. Omit it to use the default model.",
    )
    prompt: Annotated[
        list[str] | list[list[int]], BeforeValidator(_prompts), WithJsonSchema(_PROMPT)
    ] = Field([DEFAULT_PRIME], description="One or several texts to continue, or their token ids.")
    max_tokens: int = Field(
        DEFAULT_MAX_TOKENS, ge=0, description="Number of characters to generate."
    )
    n: int = Field(
        1,
        ge=1,
        le=MAX_CHOICES,
        description="Number of texts per prompt. Text i has the seed `seed` + i, counted from 0.",
    )
    best_of: int | None = Field(None, ge=1, description="Must be 1 or n. Texts are not ranked.")
    echo: bool = Field(False, description="Begin each text with the prompt.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of top alternatives to return per character. Omit it to disable "
        "scores.",
    )
    stop: Stops = []
    seed: Seed = None
    temperature: Temperature = 1.0
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Draw only from the smallest set of the most likely characters whose "
        "probabilities sum to at least this value. 1 draws from all.",
    )
    top_k: int = Field(
        -1,
        ge=-1,
        description="Draw only from this many of the most likely characters. -1 and 0 draw from "
        "all.",
    )
    min_p: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Leave out characters whose probability is below this fraction of the highest "
        "probability. 0 leaves out none.",
    )
    hold: Holds = Field(
        [],
        description="Cells of the LSTM that keep a state of your choice while the text is "
        "generated, at most 8.",
    )
    logit_bias: TokenBiases = Field(
        {},
        description="Numbers to add to the logits of tokens, at most 1,000. -100 bans a token.",
        examples=[{"5": -100}],
    )
    guided_regex: PatternText = None
    structured_outputs: StructuredOutputs = Field(
        StructuredOutputs(), description="vLLM's newer form of `guided_regex`."
    )
    min_tokens: int = Field(
        0,
        ge=0,
        description="Without `stop` and `guided_regex`, every text has `max_tokens` characters. "
        "Must be at most `max_tokens`. Not supported together with `stop` or `guided_regex`.",
    )
    memory: bool = MEMORY
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    unknown: Unknown | None = Field(
        None,
        description="What to do with characters of the prompt that the vocabulary lacks: reject "
        "the request, skip the characters, or fold them into equivalents. Omit it to use the "
        "server's default.",
    )

    presence_penalty: _Zero = 0
    frequency_penalty: _Zero = 0
    repetition_penalty: _One = 1
    length_penalty: _One = 1
    typical_p: _One = 1
    suffix: Annotated[str, _only(""), Field(json_schema_extra={"maxLength": 0})] = ""
    bad_words: _NoList = []
    stop_token_ids: _NoList = []
    use_beam_search: _No = False
    include_stop_str_in_output: _No = False

    user: _Ignored = None
    metadata: _Ignored = None
    store: _Ignored = None
    service_tier: _Ignored = None
    safety_identifier: _Ignored = None
    prompt_cache_key: _Ignored = None
    ignore_eos: _Ignored = None
    request_id: _Ignored = None
    priority: _Ignored = None
    add_special_tokens: _Ignored = None
    skip_special_tokens: _Ignored = None
    spaces_between_special_tokens: _Ignored = None

    @property
    def pattern(self) -> tuple[str, str | None]:
        """The field of the regular expression, and the expression if there is one."""
        if self.guided_regex is None and self.structured_outputs.regex is not None:
            return "structured_outputs.regex", self.structured_outputs.regex
        return "guided_regex", self.guided_regex

    @property
    def sampling(self) -> SamplingParams:
        """The sampling parameters without the biases and the pattern."""
        return SamplingParams(
            self.temperature,
            self.top_k if self.top_k > 0 else None,
            self.top_p if self.top_p < 1 else None,
            self.min_p or None,
            held_cells(self.hold),
            memory=self.memory,
        )

    @property
    def scores_echo(self) -> bool:
        """Whether the prompts themselves are scored."""
        return self.echo and self.logprobs is not None
