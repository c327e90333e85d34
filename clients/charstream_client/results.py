"""The results of calls and the events of streams: the JSON of the server, as typed dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:  # new in Python 3.11
    from typing import NotRequired


class CharacterScore(TypedDict):
    """The score of one character under the model's own distribution."""

    token: str
    logprob: float  # natural logarithm of the probability
    rank: int  # 1 is the most likely character
    entropy: float  # nats
    top: list[tuple[str, float]]  # the most likely characters and their logprobs


class DrawnScore(TypedDict):
    """The score of a generated character: the fields of `CharacterScore`, and probabilities."""

    token: str
    logprob: float
    rank: int
    entropy: float
    top: list[tuple[str, float, float]]  # with their probabilities after temperature and filters
    probability: float  # after temperature and filters


class Token(TypedDict):
    """A stream's event: one character, with the fields of `DrawnScore` if `logprobs` is set."""

    token: str
    logprob: NotRequired[float]
    rank: NotRequired[int]
    entropy: NotRequired[float]
    top: NotRequired[list[tuple[str, float, float]]]
    probability: NotRequired[float]


class ModelName(TypedDict):
    """The model that produced a result."""

    name: str
    hash: str


class Usage(TypedDict):
    """Numbers of characters read and generated."""

    prime_characters: int
    cached_characters: int  # characters of the prime that were not read again
    generated_characters: int


class Timings(TypedDict):
    """Times on the server since the request was queued, and the rate of the generation."""

    queue_ms: float
    first_character_ms: float | None
    total_ms: float
    characters_per_second: float


class Done(TypedDict):
    """The last event of a stream."""

    finish_reason: str  # "length", "stop" or "pattern"
    seed: int
    usage: Usage
    timings: Timings
    model: ModelName


class Generation(Done):
    """A whole generated text."""

    id: str
    text: str  # without the prime
    logprobs: NotRequired[list[DrawnScore]]


class Sums(TypedDict):
    """The sum of a text's scores."""

    nats: float  # negative sum of the logprobs
    bits: float  # the same sum in bits
    bits_per_character: float


class TextScore(Sums):
    """The sum of a text's scores, and their number."""

    characters: int


class DetailedTextScore(Sums):
    """The scores of a text and their sum."""

    characters: list[CharacterScore]


class Score(DetailedTextScore):
    """The scores of a text and their sum, and the model."""

    model: ModelName


class Suggestion(TypedDict):
    """A continuation of the prime."""

    text: str
    logprob: float  # natural logarithm of `probability`
    probability: float  # of the text and a boundary after it


class Suggestions(TypedDict):
    """The most probable continuations of a prime, the most probable one first."""

    suggestions: list[Suggestion]
    complete: bool  # whether no other continuation can be more probable
    usage: Usage
    timings: Timings
    model: ModelName


class ReadCell(TypedDict):
    """A cell of the LSTM and its values."""

    layer: int  # counted from 0
    cell: int  # counted from 0
    values: list[float]  # tanh of the cell state after each character, -1 to 1
    correlation: NotRequired[float]  # -1 to 1, of a search


class Cells(TypedDict):
    """Cells and their values while the model read a text."""

    characters: int  # of the text
    cells: list[ReadCell]  # of a search: the largest absolute correlation first
    model: ModelName


class Limits(TypedDict):
    """The largest requests that the server accepts."""

    length: int
    prime: int
    streams: int
    queue: int


class MemoryInfo(TypedDict):
    """The memory that a request can ask for."""

    available: bool  # whether requests may set `memory`
    bytes: int  # size of the memory of one text; 0 if it is not available


class TrackedCell(TypedDict):
    """The cell of the network that tracks a property of texts best."""

    property: str  # for example "quotes" or "line_position"
    layer: int  # counted from 0
    cell: int  # counted from 0
    correlation: float  # -1 to 1


class LoadedModel(ModelName):
    """A model that requests may name."""

    default: bool  # whether requests that name no model use it


class Info(TypedDict):
    """A loaded model, how it is computed, and the server's limits."""

    name: str
    hash: str
    title: NotRequired[str]  # of the text that the model learned from; absent on older servers
    source: NotRequired[str]  # of that text
    prime: NotRequired[str]  # an example to begin with
    vocabulary: list[str]
    layers: int
    hidden_size: int
    parameters: int
    validation_loss: float | None  # nats per character
    training: dict[str, Any]
    cells: NotRequired[list[TrackedCell]]  # strongest first; absent on older servers
    device: str
    precision: str
    kernel: str
    memory: NotRequired[MemoryInfo]  # absent on older servers
    limits: Limits
    version: str
