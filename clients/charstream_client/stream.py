"""Streams: iterators over the characters of a generation, which resume after a failure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar, cast

import httpx

from .errors import APIConnectionError, CharstreamError, StreamError
from .events import Event, EventReader
from .responses import (
    aread_body,
    check_encoding,
    json_object,
    read_body,
    status_error,
    strings,
    understood,
)
from .results import Done, Token
from .retry import FAILURES, Retries

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


class BaseStream(Generic[Http]):
    """The parts of a stream without input and output, which both kinds of streams share."""

    _http: Http

    def __init__(
        self, http: Http, body: dict[str, object], timeout: httpx.Timeout, retries: Retries
    ) -> None:
        self._http, self._timeout, self._retries = http, timeout, retries
        self._body: dict[str, object] = {**body, "stream": True}
        self.done: Done | None = None
        self.last_event_id: str | None = None
        self._response: httpx.Response | None = None
        self._model: str | None = None
        self._request_id: str | None = None
        self._url: object = None
        self._next_id = ""
        self._ended = self._closed = False

    def _next_request(self) -> dict[str, Any]:
        if self._closed:
            raise httpx.StreamClosed
        headers = {"Accept": b"text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id.encode()
            self._body["model"] = self._model or self._body.get("model")
        request = {"method": "POST", "url": "/generate", "json": self._body, "headers": headers}
        return {**request, "timeout": self._timeout}

    def _begin(self, response: httpx.Response) -> None:
        check_encoding(response)
        self._url, self._request_id = response.url, response.headers.get("X-Request-ID")
        if response.status_code == httpx.codes.NO_CONTENT:  # all characters were received
            self._ended = self.last_event_id is not None
        self._model = response.headers.get("Charstream-Model", self._model)

    def _tokens(self, reader: EventReader, data: bytes) -> Iterator[Token]:
        with understood(self._url, self._request_id):
            for event in reader.feed(data):
                if self._closed:
                    raise httpx.StreamClosed
                if (token := self._dispatch(event)) is not None:
                    yield token

    def _dispatch(self, event: Event) -> Token | None:
        if event.kind not in ("message", "done", "error"):
            return None
        data = json_object(json.loads(event.data))
        if event.kind == "error":
            raise StreamError(*strings(data, "detail", "code"), request_id=self._request_id)
        if event.kind == "done":
            self.done, self._ended = cast("Done", data), True
            return None
        strings(data, "token")
        self._advance(event.id)
        return cast("Token", data)

    def _advance(self, event_id: str) -> None:
        """Raise ValueError unless the id is that of the next character, so that none repeats."""
        seed, _, number = event_id.partition("-")
        if event_id != (self._next_id or event_id) or not number.isdecimal():
            expected = f"the id {self._next_id}" if self._next_id else "an id such as 7-1"
            raise ValueError(f"expected an event with {expected}, got {event_id!r}")
        length = self._body.get("length")
        if isinstance(length, int) and int(number) > length:
            raise ValueError(f"expected at most {length} characters, got {event_id!r}")
        self.last_event_id, self._next_id = event_id, f"{seed}-{int(number) + 1}"
        self._retries.arrived()

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


class Stream(BaseStream[httpx.Client]):
    """Iterates over the characters of a generation: `{"token": "a"}`, with scores if requested.

    To leave a loop early, use the stream in a `with` statement or call `close()`. This frees the
    server's slot at once. If you leave a loop without closing the stream, the next loop continues
    there.

    A loop raises CharstreamError if the text cannot be completed.

    Attributes:
        done: The last event. None before it, and in the rare case that only this event was lost.
        last_event_id: Id of the last character's event.
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
                        raise status_error(self._response, read_body(self._response))
                    self._begin(self._response)
                    reader = EventReader()
                    for data in self._response.iter_bytes():
                        yield from self._tokens(reader, data)
                self._check_complete()
            except FAILURES as failure:
                time.sleep(self._wait_after(failure))


class AsyncStream(BaseStream[httpx.AsyncClient]):
    """A `Stream` for `async for`, with the same attributes and errors.

    To leave a loop early, use the stream in an `async with` statement or call `aclose()`. This
    frees the server's slot at once. Otherwise the connection closes when Python collects the
    iterator.
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
                        raise status_error(self._response, await aread_body(self._response))
                    self._begin(self._response)
                    reader = EventReader()
                    async for data in self._response.aiter_bytes():
                        for token in self._tokens(reader, data):
                            yield token
                self._check_complete()
            except FAILURES as failure:
                await asyncio.sleep(self._wait_after(failure))
