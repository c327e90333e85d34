"""Schemas: the bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from model.sampling import MAX_SEED, MAX_TEMPERATURE, SamplingParams
from model.scores import MOST_ALTERNATIVES

DEFAULT_PRIME = "\n"


def _null_in_query(value: Any, info: ValidationInfo) -> Any:
    """In a query string, where there is no null, an empty value or the word stands for it."""
    return None if info.mode == "python" and value in ("", "null") else value


_OrNull = BeforeValidator(_null_in_query)


def _in_a_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_STOP = {"type": "string", "minLength": 1, "maxLength": 1000}
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000)]],
    Field(max_length=4),
    BeforeValidator(_in_a_list),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": 4}]}),
]


_MODEL = Field(
    None,
    max_length=200,
    description="The hash or name that the loaded model must have; another one answers 409.",
)


class GenerateRequest(BaseModel):
    """What to generate and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prime: str = Field(
        DEFAULT_PRIME, description="Text to go on from.", examples=["And Levin said,"]
    )
    length: int = Field(200, ge=1, description="Characters to generate, up to the server's limit.")
    top_k: Annotated[int | None, _OrNull] = Field(
        5, ge=1, description="Draw from this many most likely characters only; null draws from all."
    )
    temperature: float = Field(
        1.0,
        ge=0,
        le=MAX_TEMPERATURE,
        description="Below 1 safer, above 1 wilder, 0 always the most likely character.",
    )
    top_p: Annotated[float | None, _OrNull] = Field(
        None, gt=0, le=1, description="Draw from the fewest characters that reach this probability."
    )
    min_p: Annotated[float | None, _OrNull] = Field(
        None, ge=0, le=1, description="Leave out what is less likely than this share of the top."
    )
    seed: Annotated[int | None, _OrNull] = Field(
        None, ge=0, le=MAX_SEED, description="The same seed gives the same text; drawn if absent."
    )
    stop: Stops = Field([], description="End before the first of these strings.")
    stream: bool = Field(False, description="Answer with server-sent events.")
    unknown: Literal["reject", "skip"] = Field(
        "reject",
        description="What happens to a prime's characters that the model does not know, "
        "unless it has been trained to read them as U+FFFD.",
    )

    logprobs: Annotated[int | None, _OrNull] = Field(
        None,
        ge=0,
        le=MOST_ALTERNATIVES,
        description="Score every character, and name so many of the most likely ones.",
    )
    model: Annotated[str | None, _OrNull] = _MODEL

    @property
    def sampling(self) -> SamplingParams:
        return SamplingParams(self.temperature, self.top_k, self.top_p, self.min_p)


class ModelName(BaseModel):
    """Which model made a text."""

    name: str
    hash: str = Field(description="Of the checkpoint's content: 16 hex digits.")


class Usage(BaseModel):
    """Characters read and made."""

    prime_characters: int
    cached_characters: int = Field(description="Of the prime's, those that needed no computing.")
    generated_characters: int


class Timings(BaseModel):
    """How long it took."""

    queue_ms: float
    first_character_ms: float | None
    total_ms: float
    characters_per_second: float


class Done(BaseModel):
    """The data of a stream's last event, `done`."""

    finish_reason: Literal["length", "stop"]
    seed: int
    usage: Usage
    timings: Timings
    model: ModelName


class Token(BaseModel):
    """The data of a character's event; with `logprobs` it has the fields of `DrawnScore`."""

    token: str


class CharacterScore(BaseModel):
    """What the model thought of a character, before temperature and filters; natural logarithms."""

    token: str
    logprob: float
    rank: int = Field(description="1 is the most likely character.")
    entropy: float = Field(description="Of the distribution that it came from, in nats.")
    top: list[tuple[str, float]] = Field(description="The most likely characters, their logprobs.")


class DrawnScore(CharacterScore):
    """Of a character that was generated."""

    probability: float = Field(description="It was drawn with, after temperature and filters.")


class GenerateResponse(Done):
    """A whole text."""

    id: str
    text: str = Field(description="Exactly the characters generated; the prime is not repeated.")
    logprobs: list[DrawnScore] | None = Field(None, description="Of each character, if asked for.")


class ScoreRequest(BaseModel):
    """A text to score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, description="What is scored, character by character.")
    prime: str = Field(DEFAULT_PRIME, description="Text before it, which is read and not scored.")
    logprobs: int = Field(
        0, ge=0, le=MOST_ALTERNATIVES, description="Name so many of the most likely characters."
    )
    model: str | None = _MODEL


class ScoreResponse(BaseModel):
    """How likely the model finds a text."""

    characters: list[CharacterScore]
    nats: float = Field(description="Of the whole text: minus the sum of its logprobs.")
    bits: float
    bits_per_character: float
    model: ModelName


class Limits(BaseModel):
    """The most that the server takes."""

    length: int
    prime: int
    streams: int
    queue: int


class Info(BaseModel):
    """The model card, and where it runs."""

    name: str
    hash: str
    vocabulary: list[str]
    layers: int
    hidden_size: int
    parameters: int
    validation_loss: float | None = Field(description="Nats per character.")
    training: dict[str, Any]
    device: str
    precision: str
    kernel: str
    limits: Limits
    version: str


class Reloaded(BaseModel):
    """What a reload led to."""

    changed: bool = Field(description="Whether the checkpoint was another one than before.")
    model: ModelName


class Health(BaseModel):
    """The service's state."""

    status: Literal["live", "ready"]


class FieldError(BaseModel):
    """One field at fault."""

    field: str
    value: str = Field(description="What was given, shortened, in ASCII.")
    message: str


class ErrorBody(BaseModel):
    """Every answer that is not a success."""

    detail: str = Field(description="What is wrong, naming field, value and bound.")
    code: str
    errors: list[FieldError] | None = None
