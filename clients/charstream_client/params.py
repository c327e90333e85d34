"""The fields of requests, as keyword arguments of the client's methods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict
from urllib.parse import quote

from .errors import CharstreamError


class HeldCell(TypedDict):
    """A cell of the LSTM that keeps a state while the text is generated."""

    layer: int  # from 0
    cell: int  # from 0
    value: float  # the cell's state, -8 to 8


class Cell(TypedDict):
    """A cell of the LSTM."""

    layer: int  # from 0
    cell: int  # from 0


class GenerateParams(TypedDict, total=False):
    """Fields of a request for text. The server has a default for each field that is absent."""

    prime: str  # text to continue
    length: int  # characters to generate
    top_k: int | None  # draw from the k most likely characters; None draws from all
    temperature: float  # 0 always takes the most likely character
    top_p: float | None  # draw from the fewest characters whose probabilities sum to this
    min_p: float | None  # leave out characters below this share of the highest probability
    hold: Sequence[HeldCell]  # cells that keep a state of your choice, at most 8
    pattern: str | None  # a regular expression that the whole text must match
    logit_bias: Mapping[str, float]  # numbers to add to the logits of characters; -100 bans one
    seed: int | None  # the same seed gives the same text; None lets the server choose
    stop: str | Sequence[str]  # end before the first of these strings, at most 4
    unknown: Literal["reject", "skip", "fold"]  # for characters that the model does not know
    memory: bool  # learn names and phrases from what the model reads and writes
    logprobs: int | None  # score each character, with this number of alternatives
    model: str | None  # name or hash of the model; None uses the server's default


class ScoreManyParams(TypedDict, total=False):
    """Fields of a request for the scores of many texts, besides the texts."""

    prime: str  # text that the model reads first, without scoring it
    logprobs: int  # alternatives per character
    unknown: Literal["reject", "skip", "fold"]  # for characters that the model does not know
    model: str | None  # name or hash of the model; None uses the server's default


class ScoreParams(ScoreManyParams, total=False):
    """Fields of a request for the scores of one text, besides the text."""

    memory: bool  # learn names and phrases from what the model reads


class SuggestParams(TypedDict, total=False):
    """Fields of a request for suggestions, besides the prime."""

    n: int  # number of suggestions, at most 20
    boundary: Literal["word", "line"] | None  # where a suggestion ends
    pattern: str | None  # regular expression that a suggestion must match, instead of `boundary`
    max_length: int  # characters of a suggestion, at most 100
    unknown: Literal["reject", "skip", "fold"]  # for characters that the model does not know
    memory: bool  # learn names and phrases from the prime
    model: str | None  # name or hash of the model; None uses the server's default


def info_path(model: str | None) -> str:
    """Return the path and the query of a request for a model card."""
    if model is None:
        return "/info"
    return f"/info?model={quote(model, safe='', errors='surrogatepass')}"


class CellsParams(TypedDict, total=False):
    """Fields of a request for cells, besides the text: `cells`, or else `find`."""

    prime: str  # text that the model reads first
    cells: Sequence[Cell]  # cells whose values to return, at most 64
    find: str | Sequence[tuple[int, int]]  # a property, such as "quotes", or spans of the text
    top: int  # number of cells to find, at most 64
    unknown: Literal["reject", "skip", "fold"]  # for characters that the model does not know
    model: str | None  # name or hash of the model; None uses the server's default


def check_sendable(fields: Mapping[str, object]) -> None:
    """Raise CharstreamError if JSON cannot carry a field, because of nan or a lone surrogate."""
    for name, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            message = f"{name}: cannot be sent as JSON, got {value!r:.80}: {error}"
            raise CharstreamError(message) from error


def checked(method: str, params: Mapping[str, object], known: type) -> dict[str, object]:
    """Return the fields of a request, or raise TypeError if one is unknown."""
    for name in params:
        if name not in known.__annotations__:
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}")
    return dict(params)
