"""A client for charstream. It needs Python 3.10 and httpx. Copy this folder, or install it.

    with Client("http://127.0.0.1:8000") as client:
        print(client.generate(prime="And Levin said,", length=300, seed=7)["text"])

        with client.stream(prime="And Levin said,", length=300, seed=7) as stream:
            for event in stream:
                print(event["token"], end="", flush=True)

`AsyncClient` has the same methods for `await`, `async with` and `async for`. Results are the JSON
of the server as typed dictionaries. Run as a program, the package prints text while the server
generates it:

    python -m charstream_client --prime "And Levin said," --length 300 --seed 7

The command `cells` prints the cells that track something in a text, or their values:

    python -m charstream_client cells --file book.txt --find quotes --top 3

If the server is full, restarts or cannot be reached, the client waits and tries again. A stream
that breaks continues after the last character received, with the same seed and model, so that its
text is exact. A loop over a stream ends only when the text is complete. Otherwise it raises an
exception.

    CharstreamError               base of all errors; also an unusable response or base URL
      + APIConnectionError        no connection, or a broken one; an incomplete stream
        - APITimeoutError         a timeout of this client
      + APIStatusError            a response whose status is not a success
        - BadRequestError         400: malformed
        - AuthenticationError     401: no valid API key
        - NotFoundError           404: nothing at this path, or no model of this name
        - ConflictError           409: the only model is another one
        - InvalidRequestError     422: `errors` lists the invalid fields
        - RateLimitError          429: `retry_after` says when to ask again
        - ServerError             500 and above
          - UnavailableError      503: full or restarting; `retry_after` as above
      + StreamError               the server ended a stream with an `error` event

Import names from the package. Its modules may change.
"""

from __future__ import annotations

from importlib import import_module

try:
    import_module("httpx")
except ModuleNotFoundError:
    message = "charstream_client needs httpx: pip install httpx"
    raise ImportError(message, name=__name__) from None

from .async_client import AsyncClient
from .client import Client
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    CharstreamError,
    ConflictError,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StreamError,
    UnavailableError,
)
from .params import (
    Cell,
    CellsParams,
    GenerateParams,
    HeldCell,
    ScoreManyParams,
    ScoreParams,
    SuggestParams,
)
from .results import (
    Cells,
    CharacterScore,
    DetailedTextScore,
    Done,
    DrawnScore,
    Generation,
    Info,
    Limits,
    LoadedModel,
    MemoryInfo,
    ModelName,
    ReadCell,
    Score,
    Suggestion,
    Suggestions,
    Sums,
    TextScore,
    Timings,
    Token,
    TrackedCell,
    Usage,
)
from .retry import OnWait, logger
from .settings import DEFAULT_URL, Timeout
from .stream import AsyncStream, Stream

__all__ = [
    "DEFAULT_URL",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Cell",
    "Cells",
    "CellsParams",
    "CharacterScore",
    "CharstreamError",
    "Client",
    "ConflictError",
    "DetailedTextScore",
    "Done",
    "DrawnScore",
    "FieldError",
    "GenerateParams",
    "Generation",
    "HeldCell",
    "Info",
    "InvalidRequestError",
    "Limits",
    "LoadedModel",
    "MemoryInfo",
    "ModelName",
    "NotFoundError",
    "OnWait",
    "RateLimitError",
    "ReadCell",
    "Score",
    "ScoreManyParams",
    "ScoreParams",
    "ServerError",
    "Stream",
    "StreamError",
    "SuggestParams",
    "Suggestion",
    "Suggestions",
    "Sums",
    "TextScore",
    "Timeout",
    "Timings",
    "Token",
    "TrackedCell",
    "UnavailableError",
    "Usage",
    "logger",
]
