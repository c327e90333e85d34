"""The results of calls and the events of streams: the JSON of the server, as typed dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:  # new in Python 3.11
    from typing import NotRequired


class CharacterScore(TypedDict):
    """The model's own view of a character; natural logarithms."""

    token: str
    logprob: float
    rank: int  # 1 is the most likely character
    entropy: float  # nats
    top: list[tuple[str, float]]  # the most likely characters and their logprobs


class DrawnScore(CharacterScore):
    """The score of a generated character."""

    probability: float  # after temperature and filters


class Token(TypedDict):
    """A stream's event: one character, with the fields of `DrawnScore` if `logprobs` is set."""

    token: str
    logprob: NotRequired[float]
    rank: NotRequired[int]
    entropy: NotRequired[float]
    top: NotRequired[list[tuple[str, float]]]
    probability: NotRequired[float]


class ModelName(TypedDict):
    """The model that produced a result."""

    name: str
    hash: str


class Usage(TypedDict):
    """Numbers of characters."""

    prime_characters: int
    cached_characters: int  # of the prime, not read again
    generated_characters: int


class Timings(TypedDict):
    """Durations on the server, and its speed."""

    queue_ms: float
    first_character_ms: float | None
    total_ms: float
    characters_per_second: float


class Done(TypedDict):
    """The last event of a stream."""

    finish_reason: str  # "length" or "stop"
    seed: int
    usage: Usage
    timings: Timings
    model: ModelName


class Generation(Done):
    """A whole generated text."""

    id: str
    text: str  # without the prime
    logprobs: NotRequired[list[DrawnScore]]


class Score(TypedDict):
    """How likely the model finds a text."""

    characters: list[CharacterScore]
    nats: float
    bits: float
    bits_per_character: float
    model: ModelName


class Limits(TypedDict):
    """The largest requests that the server accepts."""

    length: int
    prime: int
    streams: int
    queue: int


class Info(TypedDict):
    """The model, and where it runs."""

    name: str
    hash: str
    vocabulary: list[str]
    layers: int
    hidden_size: int
    parameters: int
    validation_loss: float | None  # nats per character
    training: dict[str, Any]
    device: str
    precision: str
    kernel: str
    limits: Limits
    version: str
