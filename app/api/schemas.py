"""Schemas: the bodies of requests and responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.field_types import (
    BiasTexts,
    CharacterBiases,
    Holds,
    HoldTexts,
    Integer,
    Number,
    OrNull,
    PatternText,
    Seed,
    Stops,
    Temperature,
    held_cells,
)
from app.engine.generation import Generation
from app.engine.sequence import FinishReason
from app.errors import FieldError
from app.service import ModelId
from app.settings import Unknown
from model.choice.sampling_params import SamplingParams

DEFAULT_PRIME = "\n"

MEMORY = Field(
    False,
    description="Whether the model learns from what it reads and writes in this request: names, "
    "phrases and repeated passages. GET /info tells whether this is available.",
)

MODEL = Field(
    None,
    max_length=200,
    description="Name or hash of the model to use. Null uses the default model. If it is not "
    "loaded, the response is 404, or 409 if only one model is loaded.",
)


UNKNOWN_FIELD = Field(
    None,
    description="What to do with characters that the vocabulary lacks: reject the request, skip "
    "the characters, or fold them, as in /generate. Null uses the server's default for the prime, "
    "and rejects them in a text.",
)


class GenerateRequest(BaseModel):
    """Parameters of a generation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prime: str = Field(
        DEFAULT_PRIME,
        description="Text that the model reads first and continues.",
        examples=["And Levin said,"],
    )
    length: Integer = Field(
        200, ge=1, description="Number of characters to generate, up to the server's limit."
    )
    top_k: Annotated[Integer | None, OrNull] = Field(
        5,
        ge=1,
        description="Draw only from this many of the most likely characters. Null draws from all.",
    )
    temperature: Temperature = 1.0
    top_p: Annotated[Number | None, OrNull] = Field(
        None,
        gt=0,
        le=1,
        description="Draw only from the smallest set of the most likely characters whose "
        "probabilities sum to at least this value.",
    )
    min_p: Annotated[Number | None, OrNull] = Field(
        None,
        ge=0,
        le=1,
        description="Leave out characters whose probability is below this fraction of the highest "
        "probability.",
    )
    hold: Holds = Field(
        [],
        description="Cells of the LSTM that keep a state of your choice while the text is "
        "generated, at most 8. GET /info lists what some of the cells track.",
    )
    pattern: PatternText = Field(None, examples=[r"[A-Z][a-z]+ [A-Z][a-z]+"])
    logit_bias: CharacterBiases = Field(
        {},
        description="Numbers to add to the logits of characters, at most 1,000. -100 bans a "
        "character.",
        examples=[{"e": -100, "!": 3}],
    )
    seed: Seed = None
    stop: Stops = []
    stream: bool = Field(False, description="Whether to respond with server-sent events.")
    memory: bool = MEMORY
    unknown: Annotated[Unknown | None, OrNull] = Field(
        None,
        description="What to do with characters of the prime that the vocabulary lacks: reject the "
        "request, skip the characters, or fold them: replace quotation marks, dashes, spaces and "
        "accented letters with equivalents. Null uses the server's default. If the vocabulary "
        "contains U+FFFD, the model reads U+FFFD for each remaining unknown character.",
    )
    logprobs: Annotated[Integer | None, OrNull] = Field(
        None,
        ge=0,
        description="Number of top alternatives to return per character, up to all characters of "
        "the vocabulary. Null disables scores.",
    )
    model: Annotated[str | None, OrNull] = MODEL

    @property
    def biases(self) -> dict[str, float]:
        return self.logit_bias

    @property
    def sampling(self) -> SamplingParams:
        return SamplingParams(
            self.temperature,
            self.top_k,
            self.top_p,
            self.min_p,
            held_cells(self.hold),
            memory=self.memory,
        )


class GenerateQuery(GenerateRequest):
    """Parameters of a generation in a query string."""

    hold: HoldTexts = Field(
        [],
        description="Cells of the LSTM that keep a state of your choice while the text is "
        "generated, as LAYER:CELL:VALUE. Repeat the parameter for up to 8 cells.",
        examples=[["1:293:-2"]],
    )
    logit_bias: BiasTexts = Field(  # type: ignore[assignment]  # a query string has no objects
        [],
        description="Numbers to add to the logits of characters, as CHARACTER:BIAS. Repeat the "
        "parameter for up to 1,000 characters. -100 bans a character.",
        examples=[["e:-100"]],
    )
    stream: bool = Field(False, description="Has no effect: the response is always a stream.")

    @property
    def biases(self) -> dict[str, float]:
        return {item.character: item.bias for item in self.logit_bias}


class ModelName(BaseModel):
    """The name and the hash of a model."""

    name: str
    hash: str = Field(description="Hash of the checkpoint's content, 16 hex digits.")


class Usage(BaseModel):
    """Numbers of characters read and generated."""

    prime_characters: int
    cached_characters: int = Field(
        description="Characters of the prime that were not read again, because the prefix cache "
        "had the state after them."
    )
    generated_characters: int


class Timings(BaseModel):
    """Times in milliseconds since the generation was queued, and its rate since it got a slot."""

    queue_ms: float
    first_character_ms: float | None
    total_ms: float
    characters_per_second: float


class Done(BaseModel):
    """The data of the event `done`, which ends a stream."""

    finish_reason: FinishReason
    seed: int
    usage: Usage
    timings: Timings
    model: ModelName


class Token(BaseModel):
    """The data of a character's event. With `logprobs`, it has all fields of `DrawnScore`."""

    token: str


class Scored(BaseModel):
    """The score of one character under the model's own distribution, before temperature and
    filters. With `memory`, it is the mixture of this distribution and the memory's.
    """

    token: str
    logprob: float = Field(description="Natural logarithm of the character's probability.")
    rank: int = Field(description="Rank of the character. 1 is the most likely one.")
    entropy: float = Field(description="Entropy of the distribution at this position, in nats.")


class CharacterScore(Scored):
    """The score of one character of a text."""

    top: list[tuple[str, float]] = Field(
        description="The most likely characters with their logprobs."
    )


class DrawnScore(Scored):
    """The score of a generated character."""

    top: list[tuple[str, float, float]] = Field(
        description="The most likely characters with their logprobs, and with their probabilities "
        "after temperature and filtering."
    )
    probability: float = Field(
        description="Probability of this character after temperature and filtering."
    )


class GenerateResponse(Done):
    """A complete text."""

    id: str
    text: str = Field(description="The generated characters, without the prime.")
    logprobs: list[DrawnScore] | None = Field(
        None, description="The score of each character, if the request has `logprobs`."
    )


class Reloaded(BaseModel):
    """The result of a reload."""

    changed: bool = Field(
        description="Whether a model was added, replaced or removed, or another one is the default."
    )
    model: ModelName


class Health(BaseModel):
    """The state of the service."""

    status: Literal["live", "ready"]


class ErrorBody(BaseModel):
    """The body of every error response."""

    detail: str = Field(description="What is wrong, with the field, the value and the limit.")
    code: str = Field(description="Name of the kind of error, such as `invalid_field`.")
    errors: list[FieldError] | None = None


def done_fields(model: ModelId, generation: Generation) -> dict[str, Any]:
    """Return the fields of `Done` for a finished generation."""

    def milliseconds(moment: float | None) -> float | None:
        return None if moment is None else round((moment - generation.submitted) * 1000, 3)

    return {
        "finish_reason": generation.finish_reason,
        "seed": generation.job.seed,
        "usage": {
            "prime_characters": generation.job.prime_characters,
            "cached_characters": generation.cached,
            "generated_characters": generation.generated,
        },
        "timings": {
            "queue_ms": milliseconds(generation.admitted) or 0.0,
            "first_character_ms": milliseconds(generation.first_character),
            "total_ms": milliseconds(generation.finished) or 0.0,
            "characters_per_second": round(generation.characters_per_second, 1),
        },
        "model": model._asdict(),
    }
