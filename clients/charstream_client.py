#!/usr/bin/env python3
"""A client of charstream in one file. Needs Python 3.10 and httpx, nothing else: copy it.

    python charstream_client.py --prime "And Levin said," --length 300 --seed 7

    client = Client("http://127.0.0.1:8000")
    print(client.generate(prime="And Levin said,", length=300, seed=7)["text"])

    stream = client.stream(prime="And Levin said,", length=300)
    for event in stream:
        print(event["token"], end="", flush=True)
    print(stream.done["usage"])

`AsyncClient` is the same with `await` and `async for`. A full or restarting server is asked again,
after the time that it names. A stream that breaks goes on where it broke: no character is lost or
comes twice, and no other model goes on with its text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
RETRIES = 5  # in a row without a character in between
_LONGEST_BACKOFF = 30.0  # seconds, where the server names no time
_LONGEST_NAMED = 600.0
_WORTH_SAYING = 1.0  # seconds of a wait that somebody watches
_RETRIED = (429, 502, 503, 504)
OnWait = Callable[[Exception, float], None]
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException, httpx.ProxyError)


class CharstreamError(Exception):
    """An answer that is no success.

    Attributes:
        status: of HTTP; 0 for an `error` event inside of a stream.
        code: the server's word for it, such as "queue_full".
        detail: what is wrong, in words.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status, self.code, self.detail = status, code, detail
        super().__init__(f"{code}: {detail}" + (f" (HTTP {status})" if status else ""))


class Client:
    """Requests to one server, over connections that are kept.

    Args:
        base_url: the server's address.
        api_key: where the server wants one.
        retries: how often in a row a request is made again.
        on_wait: a plain function, called with what went wrong, and the seconds until it is tried
            again.
        timeout: seconds without a byte after which a connection counts as broken. Not for whole
            texts and scores, which come at once when they are done: those are waited for.
        **options: of `httpx.Client`, such as `transport` or `verify`.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        retries: int = RETRIES,
        timeout: float = 60.0,
        on_wait: OnWait | None = None,
        **options: Any,
    ) -> None:
        headers = _headers(api_key)
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout, **options)
        self._retries, self._on_wait = retries, on_wait

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def generate(self, **fields: Any) -> dict[str, Any]:
        """POST /generate: a whole text and its account.

        Raises:
            CharstreamError: if the server refuses.
            httpx.TransportError: if it cannot be reached.
        """
        return self._post("/generate", fields)

    def score(self, text: str, **fields: Any) -> dict[str, Any]:
        """POST /score: how likely the model finds a text."""
        return self._post("/score", {"text": text, **fields})

    def info(self) -> dict[str, Any]:
        """GET /info: the model, and the server's limits."""
        return self._request("GET", "/info")

    def stream(self, **fields: Any) -> Stream:
        """The characters of a text as they are made: a `Stream` to iterate over, once."""
        return Stream(self._http, fields, _Attempts(self._retries, self._on_wait))

    def _post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        timeout = {**self._http.timeout.as_dict(), "read": None}
        return self._request("POST", path, json=dict(fields), timeout=httpx.Timeout(**timeout))

    def _request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        attempts = _Attempts(self._retries, self._on_wait)
        while True:
            try:
                answer = self._http.request(method, path, **content)
            except _BROKEN as error:
                time.sleep(attempts.wait_after(error))
                continue
            if answer.status_code not in _RETRIED or not attempts.left:
                return _body(answer)
            time.sleep(attempts.wait_after(answer))


class AsyncClient:
    """As `Client`, for asyncio."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        retries: int = RETRIES,
        timeout: float = 60.0,
        on_wait: OnWait | None = None,
        **options: Any,
    ) -> None:
        headers = _headers(api_key)
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=timeout, **options
        )
        self._retries, self._on_wait = retries, on_wait

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def generate(self, **fields: Any) -> dict[str, Any]:
        """As `Client.generate`."""
        return await self._post("/generate", fields)

    async def score(self, text: str, **fields: Any) -> dict[str, Any]:
        """As `Client.score`."""
        return await self._post("/score", {"text": text, **fields})

    async def info(self) -> dict[str, Any]:
        """As `Client.info`."""
        return await self._request("GET", "/info")

    def stream(self, **fields: Any) -> AsyncStream:
        """As `Client.stream`, for `async for`."""
        return AsyncStream(self._http, fields, _Attempts(self._retries, self._on_wait))

    async def _post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        timeout = {**self._http.timeout.as_dict(), "read": None}
        return await self._request(
            "POST", path, json=dict(fields), timeout=httpx.Timeout(**timeout)
        )

    async def _request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        attempts = _Attempts(self._retries, self._on_wait)
        while True:
            try:
                answer = await self._http.request(method, path, **content)
            except _BROKEN as error:
                await asyncio.sleep(attempts.wait_after(error))
                continue
            if answer.status_code not in _RETRIED or not attempts.left:
                return _body(answer)
            await asyncio.sleep(attempts.wait_after(answer))


class _Reader:
    """What both kinds of stream know of their text: all but how bytes come."""

    def __init__(self, fields: Mapping[str, Any], attempts: _Attempts) -> None:
        self.done: dict[str, Any] | None = None  # the account of the text, once it has ended
        self.last_event_id: str | None = None  # what a broken stream goes on after
        self.ended = False
        self.attempts = attempts
        self._fields = {**fields, "stream": True}
        self._event: dict[str, str] = {}

    def request(self) -> dict[str, Any]:
        """Arguments of `httpx.Client.stream`."""
        self._event = {}
        headers = {"Accept": "text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        return {"method": "POST", "url": "/generate", "json": self._fields, "headers": headers}

    def check_model(self, answer: httpx.Response) -> None:
        """Notes the model's hash, so that another one does not go on with its text."""
        if "Charstream-Model" in answer.headers:
            self._fields.setdefault("model", answer.headers["Charstream-Model"])

    def take(self, line: str) -> dict[str, Any] | None:
        """A character's event, when this line completes one."""
        if line:
            name, _, value = line.partition(":")
            self._event[name] = value.removeprefix(" ")
            return None
        event, self._event = self._event, {}
        if "data" not in event:
            return None
        data: dict[str, Any] = json.loads(event["data"])
        kind = event.get("event", "message")
        if kind == "done":
            self.done, self.ended = data, True
        elif kind == "error":
            raise CharstreamError(0, data["code"], data["detail"])
        else:
            self.last_event_id = event.get("id", self.last_event_id)
            self.attempts.succeed()
            return data
        return None

    def wait_after(self, failure: Exception) -> float:
        """Seconds until the stream may go on; raises a failure that no attempt mends."""
        if isinstance(failure, _Refused):
            return self.attempts.wait_after(failure.answer)
        if isinstance(failure, CharstreamError) and failure.code != "draining":
            raise failure
        return self.attempts.wait_after(failure)


class Stream(_Reader):
    """Iterates over the events of a text's characters: `{"token": "a"}`, and scores if asked for.

    Attributes:
        done: the text's account, as the last event tells it; None before, and in the rare case
            that only this event was lost.
        last_event_id: of the last character.
    """

    def __init__(self, http: httpx.Client, fields: Mapping[str, Any], attempts: _Attempts) -> None:
        super().__init__(fields, attempts)
        self._http = http

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while not self.ended:
            try:
                yield from self._read()
                failure: Exception = httpx.ReadError("the stream broke off")
            except (_Refused, CharstreamError, *_BROKEN) as error:
                failure = error
            if not self.ended:
                time.sleep(self.wait_after(failure))

    def _read(self) -> Iterator[dict[str, Any]]:
        with self._http.stream(**self.request()) as answer:
            self.check_model(answer)
            if answer.status_code != httpx.codes.OK:
                answer.read()
                self.ended = _nothing_left(answer, self.attempts)
                return
            for line in answer.iter_lines():
                if (event := self.take(line)) is not None:
                    yield event


class AsyncStream(_Reader):
    """As `Stream`, for `async for`."""

    def __init__(
        self, http: httpx.AsyncClient, fields: Mapping[str, Any], attempts: _Attempts
    ) -> None:
        super().__init__(fields, attempts)
        self._http = http

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while not self.ended:
            try:
                async for event in self._read():
                    yield event
                failure: Exception = httpx.ReadError("the stream broke off")
            except (_Refused, CharstreamError, *_BROKEN) as error:
                failure = error
            if not self.ended:
                await asyncio.sleep(self.wait_after(failure))

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        async with self._http.stream(**self.request()) as answer:
            self.check_model(answer)
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                self.ended = _nothing_left(answer, self.attempts)
                return
            async for line in answer.aiter_lines():
                if (event := self.take(line)) is not None:
                    yield event


class _Refused(Exception):  # noqa: N818  # never seen outside
    """An answer that asks for another attempt."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer


class _Attempts:
    """How often something may still be tried, and how long to wait before."""

    def __init__(self, retries: int, on_wait: OnWait | None) -> None:
        self._retries, self._on_wait, self.failed = retries, on_wait, 0

    @property
    def left(self) -> int:
        return self._retries - self.failed

    def succeed(self) -> None:
        self.failed = 0

    def wait_after(self, failure: Exception | httpx.Response) -> float:
        """Seconds to wait before the next attempt: what the server says, else ever longer.

        Raises:
            Exception: the failure itself, when no attempt is left.
        """
        answer = failure if isinstance(failure, httpx.Response) else None
        error = failure if isinstance(failure, Exception) else _error(failure)
        if self.left <= 0:
            raise error
        self.failed += 1
        spread = random.uniform(0.5, 1)  # noqa: S311  # no secret
        seconds = min(0.25 * float(2**self.failed), _LONGEST_BACKOFF) * spread
        named = answer.headers.get("Retry-After", "") if answer is not None else ""
        if named.isdigit():
            seconds = min(float(named), _LONGEST_NAMED)
        if self._on_wait is not None:
            self._on_wait(error, seconds)
        return seconds


def _headers(api_key: str | None) -> dict[bytes, bytes]:
    return {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}


def _nothing_left(answer: httpx.Response, attempts: _Attempts) -> bool:
    """Whether a stream's answer without events means that all has been read."""
    if answer.status_code == httpx.codes.NO_CONTENT:
        return True
    if answer.status_code in _RETRIED and attempts.left:
        raise _Refused(answer)
    raise _error(answer)


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise _error(answer)
    body: dict[str, Any] = answer.json()
    return body


def _error(answer: httpx.Response) -> CharstreamError:
    try:
        body = answer.json()
        return CharstreamError(answer.status_code, body["code"], body["detail"])
    except (ValueError, KeyError, TypeError):  # from something between us and the server
        return CharstreamError(
            answer.status_code, "http", answer.text[:200] or answer.reason_phrase
        )


def main() -> int:
    """Prints a text as it comes; returns the exit status."""
    parser = argparse.ArgumentParser(description="Print a text as a charstream server makes it.")
    parser.add_argument("--url", default=os.environ.get("CHARSTREAM_URL", DEFAULT_URL))
    parser.add_argument("--api-key", default=os.environ.get("CHARSTREAM_API_KEY"))
    parser.add_argument("--prime", help="text to go on from; printed too")
    parser.add_argument("--length", type=int, help="characters")
    parser.add_argument("--top-k", type=int, help="0 draws from all characters")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--min-p", type=float)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--seed", type=int, help="the same seed gives the same text")
    parser.add_argument("--stop", action="append", help="end before this; may be repeated")
    parser.add_argument("--model", help="hash that the server's model must have")
    options = vars(parser.parse_args())
    url, api_key = options.pop("url"), options.pop("api_key")
    fields = {name: value for name, value in options.items() if value is not None}
    if fields.get("top_k") == 0:
        fields["top_k"] = None
    try:
        with Client(url, api_key, on_wait=_say_wait) as client:
            _print(client.stream(**fields), fields.get("prime", ""))
    except (CharstreamError, httpx.HTTPError) as error:
        print(f"\n{url}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130
    except BrokenPipeError:  # as of `head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _say_wait(error: Exception, seconds: float) -> None:
    if seconds >= _WORTH_SAYING:
        print(f"\n{error}; asked again in {seconds:.0f} s", file=sys.stderr)


def _print(stream: Stream, prime: str) -> None:
    print(prime, end="", flush=True)
    for event in stream:
        print(event["token"], end="", flush=True)
    print()
    if stream.done is not None:
        done = stream.done
        print(f"seed {done['seed']}, model {done['model']['hash']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
