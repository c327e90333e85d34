#!/usr/bin/env python3
"""A client for charstream in one file: copy it. It needs Python 3.10 and httpx.

    with Client("http://127.0.0.1:8000") as client:
        print(client.generate(prime="And Levin said,", length=300, seed=7)["text"])

        with client.stream(prime="And Levin said,", length=300, seed=7) as stream:
            for event in stream:
                print(event["token"], end="", flush=True)

`AsyncClient` has the same methods for `await`, `async with` and `async for`. Results are the JSON
of the server, typed as dictionaries. As a program, the file prints text while it is generated:

    python charstream_client.py --prime "And Levin said," --length 300 --seed 7

If the server is full, restarts or cannot be reached, the client waits and tries again. A stream
that breaks continues after the last character received, with the same seed and model, so that its
text is exact. A loop over a stream ends only when the text is complete; otherwise it raises.

    CharstreamError               base of all errors; a result or base URL that cannot be read
      + APIConnectionError        no connection, or one that broke; an incomplete stream
        - APITimeoutError         a timeout of this client
      + APIStatusError            a response whose status is not a success
        - BadRequestError         400: malformed
        - AuthenticationError     401: no valid API key
        - NotFoundError           404
        - ConflictError           409: another model is loaded
        - InvalidRequestError     422: `errors` lists the invalid fields
        - RateLimitError          429: `retry_after` says when to ask again
        - ServerError             500 and above
          - UnavailableError      503: full or restarting; `retry_after` as above
      + StreamError               the server ended a stream with an `error` event
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

try:
    import httpx
except ModuleNotFoundError:
    if __name__ == "__main__":
        sys.exit("charstream_client.py needs httpx: pip install httpx")
    raise ImportError("charstream_client needs httpx: pip install httpx") from None

if TYPE_CHECKING:  # new in Python 3.11
    from typing import NotRequired, Unpack

DEFAULT_URL = "http://127.0.0.1:8000"
logger = logging.getLogger("charstream_client")

_PING_SECONDS = 15.0  # between the server's comments in an idle stream
_CONNECT_SECONDS = 10.0
_FIRST_BACKOFF, _MAX_BACKOFF = 0.5, 30.0  # seconds, if the server does not send Retry-After
_MAX_RETRY_AFTER = 120.0  # seconds; if the server asks for more, the client raises at once
_NOTICEABLE = 1.0  # seconds; longer waits are logged as warnings
_RETRIED_STATUSES = (429, 502, 503)  # not 504: the deadline would pass again
_RETRIED_FAILURES = (
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.TimeoutException,
)
Timeout = float | httpx.Timeout
_Http = TypeVar("_Http", httpx.Client, httpx.AsyncClient)


class GenerateParams(TypedDict, total=False):
    """Fields of a request for text. The server has a default for each that is absent."""

    prime: str  # text to continue
    length: int  # characters to generate
    top_k: int | None  # draw from the k most likely characters; None draws from all
    temperature: float  # 0 always takes the most likely character
    top_p: float | None  # draw from the fewest characters that reach this probability
    min_p: float | None  # leave out characters below this share of the highest probability
    seed: int | None  # the same seed gives the same text; None lets the server choose
    stop: str | Sequence[str]  # end before the first of these strings, at most 4
    unknown: Literal["reject", "skip", "fold"]  # for characters that the model does not know
    logprobs: int | None  # score each character, with this number of alternatives
    model: str | None  # name or hash that the server's model must have


class ScoreParams(TypedDict, total=False):
    """Fields of a request for scores, besides the text."""

    prime: str  # text before it, which is read and not scored
    logprobs: int  # alternatives per character
    model: str | None  # name or hash that the server's model must have


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


class FieldError(TypedDict):
    """An invalid field of a request."""

    field: str
    value: str
    message: str


@dataclass(eq=False)
class CharstreamError(Exception):
    """Base of all errors of this module."""

    detail: str  # what is wrong, in words
    code: str = "client_error"  # the server's name of the error, such as "queue_full"
    status_code: int | None = field(default=None, kw_only=True)  # of an HTTP error response
    errors: Sequence[FieldError] = field(default=(), kw_only=True)  # the invalid fields
    request_id: str | None = field(default=None, kw_only=True)  # as in the server's log
    retry_after: float | None = field(default=None, kw_only=True)  # seconds until it may succeed

    def __str__(self) -> str:
        status = f" (HTTP {self.status_code})" if self.status_code else ""
        return f"{self.code}: {self.detail}{status}"


class APIConnectionError(CharstreamError):
    """The server cannot be reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """The server did not respond within this client's timeout."""


class APIStatusError(CharstreamError):
    """The server's response is not a success."""


class BadRequestError(APIStatusError):
    """400: the request is malformed."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing or wrong."""


class NotFoundError(APIStatusError):
    """404: there is nothing at this path."""


class ConflictError(APIStatusError):
    """409: another model than the requested one is loaded."""


class InvalidRequestError(APIStatusError):
    """422: fields are invalid; see `errors`."""


class RateLimitError(APIStatusError):
    """429: too many requests; see `retry_after`."""


class ServerError(APIStatusError):
    """500 and above: the server, or a proxy before it, failed."""


class UnavailableError(ServerError):
    """503: the server is full or restarts; see `retry_after`."""


class StreamError(CharstreamError):
    """The server ended a stream with an `error` event."""


_STATUS_ERRORS: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: RateLimitError,
    503: UnavailableError,
}
OnWait = Callable[[CharstreamError, float], None]
_FAILURES = (httpx.HTTPError, httpx.StreamError, CharstreamError)  # of one attempt


@dataclass
class _Retries:
    """Decides whether a failed attempt is repeated, and after how many seconds."""

    max_retries: int
    max_wait: float
    on_wait: OnWait | None
    streaming: bool
    failed: int = 0
    waited: float = 0.0

    def reset(self) -> None:
        self.failed, self.waited = 0, 0.0

    def wait_after(self, failure: Exception) -> float:
        """Return the seconds until the next attempt, or raise if there is none."""
        error = _charstream_error(failure)
        seconds = self._delay(error.retry_after)
        affordable = self.failed < self.max_retries and self.waited + seconds <= self.max_wait
        if not affordable or not self._may_succeed_later(error):
            raise error
        self.failed, self.waited = self.failed + 1, self.waited + seconds
        level = logging.WARNING if seconds >= _NOTICEABLE else logging.INFO
        logger.log(level, "%s; next attempt in %.1f s", error, seconds)
        if self.on_wait is not None:
            self.on_wait(error, seconds)
        return seconds

    def _delay(self, retry_after: float | None) -> float:
        if retry_after is not None:  # never earlier; spread, because many may get the same
            return retry_after * random.uniform(1, 1.1)  # noqa: S311  # no secret
        backoff = min(_FIRST_BACKOFF * 2.0 ** min(self.failed, 10), _MAX_BACKOFF)
        return backoff * random.uniform(0.5, 1)  # noqa: S311  # no secret

    def _may_succeed_later(self, error: CharstreamError) -> bool:
        cause = error.__cause__
        if error.retry_after is not None and error.retry_after > _MAX_RETRY_AFTER:
            return False
        if isinstance(cause, httpx.ReadTimeout):
            return self.streaming  # a whole result would miss its deadline again
        if isinstance(cause, httpx.RequestError):
            return isinstance(cause, _RETRIED_FAILURES)
        return error.status_code in _RETRIED_STATUSES or error.code in ("draining", "incomplete")


class _BaseClient(Generic[_Http]):
    """The settings of both clients."""

    _http_class: type[_Http]
    _http: _Http

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: Timeout = 600.0,
        stream_timeout: Timeout = 60.0,
        max_retries: int = 5,
        max_wait: float = 300.0,
        on_wait: OnWait | None = None,
        **options: Any,
    ) -> None:
        """Set up connections, which are made when they are needed.

        Args:
            base_url: The server's address.
            api_key: The key, if the server requires one.
            timeout: Seconds to wait for a whole result.
            stream_timeout: Seconds without a byte after which a stream counts as broken. The
                server sends one at least every 15 seconds, so it must be greater than that.
            max_retries: How often an attempt is repeated; in a stream, without a new character.
            max_wait: Seconds that a call may wait between attempts in total; in a stream, without
                a new character.
            on_wait: Function to call before each wait, with the error and the seconds.
            **options: Further arguments of `httpx.Client`, such as `transport` or `verify`.
        """
        headers = {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}
        try:
            self._http = self._http_class(base_url=base_url, headers=headers, **options)
        except httpx.InvalidURL as error:
            raise CharstreamError(f"base_url {base_url!r} is not a URL: {error}") from error
        self._timeout, self._stream_timeout = _seconds(timeout), _stream_seconds(stream_timeout)
        self._retry_settings = max_retries, max_wait, on_wait

    def _retries(self, *, streaming: bool = False) -> _Retries:
        return _Retries(*self._retry_settings, streaming)

    def _seconds(self, timeout: Timeout | None) -> httpx.Timeout:
        return self._timeout if timeout is None else _seconds(timeout)

    def _stream_arguments(
        self, timeout: Timeout | None, params: GenerateParams
    ) -> tuple[dict[str, object], httpx.Timeout, _Retries]:
        body = _checked("stream", params, GenerateParams)
        seconds = self._stream_timeout if timeout is None else _stream_seconds(timeout)
        return body, seconds, self._retries(streaming=True)


class Client(_BaseClient[httpx.Client]):
    """Calls one server. Close it with `close()`, or use it in a `with` statement.

    In each method, `timeout` replaces the client's own for this call.
    """

    _http_class = httpx.Client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def generate(
        self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]
    ) -> Generation:
        """Generate text and return it whole (POST /generate)."""
        body = _checked("generate", params, GenerateParams)
        result: Generation = self._request("POST", "/generate", timeout, body)
        return result

    def stream(self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]) -> Stream:
        """Generate text and return a `Stream` of its characters, which sends the request."""
        return Stream(self._http, *self._stream_arguments(timeout, params))

    def score(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[ScoreParams]
    ) -> Score:
        """Return the log-probability of each character of a text (POST /score)."""
        result: Score = self._request(
            "POST", "/score", timeout, {"text": text, **_checked("score", params, ScoreParams)}
        )
        return result

    def info(self, *, timeout: Timeout | None = None) -> Info:
        """Return the model card and the server's limits (GET /info)."""
        result: Info = self._request("GET", "/info", timeout)
        return result

    def _request(self, method: str, path: str, timeout: Timeout | None, body: object = None) -> Any:
        retries, seconds = self._retries(), self._seconds(timeout)
        while True:
            try:
                return _parsed(self._http.request(method, path, json=body, timeout=seconds))
            except _FAILURES as failure:
                time.sleep(retries.wait_after(failure))


class AsyncClient(_BaseClient[httpx.AsyncClient]):
    """`Client` for asyncio. Close it with `aclose()`, or use it in an `async with` statement."""

    _http_class = httpx.AsyncClient

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def generate(
        self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]
    ) -> Generation:
        """Generate text and return it whole (POST /generate)."""
        body = _checked("generate", params, GenerateParams)
        result: Generation = await self._request("POST", "/generate", timeout, body)
        return result

    def stream(
        self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]
    ) -> AsyncStream:
        """Generate text and return an `AsyncStream` of its characters, which sends the request."""
        return AsyncStream(self._http, *self._stream_arguments(timeout, params))

    async def score(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[ScoreParams]
    ) -> Score:
        """Return the log-probability of each character of a text (POST /score)."""
        result: Score = await self._request(
            "POST", "/score", timeout, {"text": text, **_checked("score", params, ScoreParams)}
        )
        return result

    async def info(self, *, timeout: Timeout | None = None) -> Info:
        """Return the model card and the server's limits (GET /info)."""
        result: Info = await self._request("GET", "/info", timeout)
        return result

    async def _request(
        self, method: str, path: str, timeout: Timeout | None, body: object = None
    ) -> Any:
        retries, seconds = self._retries(), self._seconds(timeout)
        while True:
            try:
                return _parsed(await self._http.request(method, path, json=body, timeout=seconds))
            except _FAILURES as failure:
                await asyncio.sleep(retries.wait_after(failure))


class _BaseStream(Generic[_Http]):
    """The parts of a stream that do no input or output."""

    _http: _Http

    def __init__(
        self, http: _Http, body: dict[str, object], timeout: httpx.Timeout, retries: _Retries
    ) -> None:
        self._http, self._timeout, self._retries = http, timeout, retries
        self._body: dict[str, object] = {**body, "stream": True}
        self.done: Done | None = None
        self.last_event_id: str | None = None
        self._response: httpx.Response | None = None
        self._model: str | None = None
        self._request_id: str | None = None
        self._event: dict[str, str] = {}
        self._ended = self._closed = False

    def _next_request(self) -> dict[str, Any]:
        """Return arguments of `httpx.Client.stream` that continue after the last character."""
        if self._closed:
            raise httpx.StreamClosed
        self._event, headers = {}, {"Accept": "text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
            self._body["model"] = self._model or self._body.get("model")
        request = {"method": "POST", "url": "/generate", "json": self._body, "headers": headers}
        return {**request, "timeout": self._timeout}

    def _begin(self, response: httpx.Response) -> None:
        self._request_id = response.headers.get("X-Request-ID")
        if response.status_code == httpx.codes.NO_CONTENT:  # no character follows the last one
            self._ended = self.last_event_id is not None
        elif not response.is_success:
            raise _status_error(response)
        self._model = response.headers.get("Charstream-Model", self._model)

    def _feed(self, line: str) -> Token | None:
        """Return a character's event if this line completes one."""
        if self._closed:
            raise httpx.StreamClosed
        if line:
            name, _, value = line.partition(":")
            self._event[name] = value.removeprefix(" ")
            return None
        event, self._event = self._event, {}
        return self._dispatch(event, json.loads(event["data"])) if "data" in event else None

    def _dispatch(self, event: Mapping[str, str], data: Any) -> Token | None:
        kind = event.get("event", "message")
        if kind == "error":
            raise StreamError(data["detail"], data["code"], request_id=self._request_id)
        if kind == "done":
            self.done, self._ended = data, True
        if kind != "message":
            return None
        self.last_event_id = event.get("id", self.last_event_id)
        self._retries.reset()
        token: Token = data
        return token

    def _check_complete(self) -> None:
        if not self._ended:
            message = "the stream ended before its `done` event"
            raise APIConnectionError(message, "incomplete", request_id=self._request_id)

    def _wait_after(self, failure: Exception) -> float:
        if self._ended:  # nothing is missing
            return 0.0
        if self._closed:
            raise CharstreamError("the stream was closed before its end", "closed") from failure
        return self._retries.wait_after(failure)


class Stream(_BaseStream[httpx.Client]):
    """Iterates over the characters of a generation: `{"token": "a"}`, with scores if requested.

    To leave a loop early, use the stream in a `with` statement or call `close()`: this frees the
    server's slot at once. A loop over an open stream that was left continues where it was left.

    Attributes:
        done: The last event; None before it, and in the rare case that only this event was lost.
        last_event_id: Of the last character.
    """

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. A loop over a stream closed before its end raises."""
        self._closed = True
        if self._response is not None:
            self._response.close()

    def __iter__(self) -> Iterator[Token]:
        while not self._ended:
            try:
                with self._http.stream(**self._next_request()) as self._response:
                    if not self._response.is_success:
                        self._response.read()
                    self._begin(self._response)
                    for line in self._response.iter_lines():
                        if (token := self._feed(line)) is not None:
                            yield token
                self._check_complete()
            except _FAILURES as failure:
                time.sleep(self._wait_after(failure))


class AsyncStream(_BaseStream[httpx.AsyncClient]):
    """`Stream` for `async for`.

    To leave a loop early, use the stream in an `async with` statement or call `aclose()`: this
    frees the server's slot at once. Without either, the connection closes when Python collects
    the iterator.

    Attributes:
        done: The last event; None before it, and in the rare case that only this event was lost.
        last_event_id: Of the last character.
    """

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. A loop over a stream closed before its end raises."""
        self._closed = True
        if self._response is not None:
            await self._response.aclose()

    async def __aiter__(self) -> AsyncIterator[Token]:
        while not self._ended:
            try:
                async with self._http.stream(**self._next_request()) as self._response:
                    if not self._response.is_success:
                        await self._response.aread()
                    self._begin(self._response)
                    async for line in self._response.aiter_lines():
                        if (token := self._feed(line)) is not None:
                            yield token
                self._check_complete()
            except _FAILURES as failure:
                await asyncio.sleep(self._wait_after(failure))


def _checked(method: str, params: Mapping[str, object], known: type) -> dict[str, object]:
    """Return the fields of a request, or raise TypeError if one is unknown."""
    for name in params:
        if name not in known.__annotations__:
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}")
    return dict(params)


def _seconds(timeout: Timeout) -> httpx.Timeout:
    if isinstance(timeout, httpx.Timeout):
        return timeout
    return httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))


def _stream_seconds(timeout: Timeout) -> httpx.Timeout:
    seconds = _seconds(timeout)
    if seconds.read is not None and seconds.read <= _PING_SECONDS:
        raise ValueError(
            f"a stream's timeout must be greater than {_PING_SECONDS:g} seconds, the time between "
            f"the server's pings, got {seconds.read:g}"
        )
    return seconds


def _parsed(response: httpx.Response) -> Any:
    if not response.is_success:
        raise _status_error(response)
    try:
        return response.json()
    except ValueError as error:
        raise CharstreamError(f"the response of {response.url} is not JSON") from error


def _status_error(response: httpx.Response) -> APIStatusError:
    status = response.status_code
    try:
        body = response.json()
        detail, code, errors = body["detail"], body["code"], body.get("errors") or ()
    except (ValueError, KeyError, TypeError):  # from a proxy between client and server
        detail, code, errors = response.text[:200] or response.reason_phrase, "http_error", ()
    kind = _STATUS_ERRORS.get(status, ServerError if status >= 500 else APIStatusError)
    return kind(
        detail,
        code,
        status_code=status,
        errors=errors,
        request_id=response.headers.get("X-Request-ID"),
        retry_after=_retry_after(response.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header, which has a number or a date."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _charstream_error(failure: Exception) -> CharstreamError:
    """Return an error of this module, whose cause is the failure if it is not one itself."""
    if isinstance(failure, CharstreamError):
        return failure
    detail = f"{type(failure).__name__}: {failure}".removesuffix(": ")
    error = (
        APITimeoutError(detail, "timeout")
        if isinstance(failure, httpx.TimeoutException)
        else APIConnectionError(detail, "connection_failed")
    )
    error.__cause__ = failure
    return error


def main() -> int:
    """Print text while the server generates it. Return the exit status."""
    options = vars(_parser().parse_args())
    url, api_key = options.pop("url"), options.pop("api_key")
    params = {name: value for name, value in options.items() if value is not None}
    if params.get("top_k") == 0:
        params["top_k"] = None
    logging.basicConfig(format="\n%(message)s")
    try:
        with Client(url, api_key) as client, client.stream(**params) as stream:
            _print(stream, params.get("prime", ""))
    except CharstreamError as error:
        print(f"\n{url}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130
    except BrokenPipeError:  # of `head`, for example, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Print text while a charstream server generates it."
    )
    parser.add_argument("--url", default=os.environ.get("CHARSTREAM_URL", DEFAULT_URL))
    parser.add_argument("--api-key", default=os.environ.get("CHARSTREAM_API_KEY"))
    parser.add_argument("--prime", help="text to continue; printed too")
    parser.add_argument("--length", type=int, help="characters to generate")
    parser.add_argument("--top-k", type=int, help="0 draws from all characters")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--min-p", type=float)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--seed", type=int, help="the same seed gives the same text")
    parser.add_argument("--stop", action="append", help="end before this string; repeatable")
    parser.add_argument("--unknown", help="reject, skip or fold unknown characters of the prime")
    parser.add_argument("--model", help="name or hash that the server's model must have")
    return parser


def _print(stream: Stream, prime: str) -> None:
    print(prime, end="", flush=True)
    for event in stream:
        print(event["token"], end="", flush=True)
    print()
    if stream.done is not None:
        print(f"seed {stream.done['seed']}, model {stream.done['model']['hash']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
