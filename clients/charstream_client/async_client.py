"""AsyncClient: the client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from .batches import batches, renumber
from .errors import CharstreamError
from .params import (
    CellsParams,
    GenerateParams,
    ScoreManyParams,
    ScoreParams,
    SuggestParams,
    check_sendable,
    checked,
    info_path,
)
from .responses import T, aread_body, json_list, json_object, parsed
from .results import (
    Cells,
    DetailedTextScore,
    Generation,
    Info,
    LoadedModel,
    Score,
    Suggestions,
    TextScore,
)
from .retry import FAILURES
from .settings import BaseClient, Timeout
from .stream import AsyncStream

if TYPE_CHECKING:  # new in Python 3.11
    from typing import Unpack


class AsyncClient(BaseClient[httpx.AsyncClient]):
    """A `Client` for asyncio. Close it with `aclose()`, or use it in an `async with` statement."""

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
        body = checked("generate", params, GenerateParams)
        return await self._request("POST", "/generate", timeout, body)

    def stream(
        self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]
    ) -> AsyncStream:
        """Generate text and return an `AsyncStream` of its characters, which sends the request."""
        return AsyncStream(self._http, *self._stream_arguments(timeout, params))

    async def score(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[ScoreParams]
    ) -> Score:
        """Return the log-probability of each character of a text (POST /score)."""
        return await self._request(
            "POST", "/score", timeout, {"text": text, **checked("score", params, ScoreParams)}
        )

    @overload
    async def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[False] = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[TextScore]: ...

    @overload
    async def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[True],
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[DetailedTextScore]: ...

    async def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: bool = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[TextScore] | list[DetailedTextScore]:
        """Return the scores of many texts, in their order, as `Client.score_many` does."""
        fields = {**checked("score_many", params, ScoreManyParams), "detail": detail}
        scores: list[Any] = []
        for batch in batches(texts, fields):
            read = partial(json_list, name="scores", length=len(batch))
            try:
                scores += await self._request(
                    "POST", "/score", timeout, {"texts": batch, **fields}, read
                )
            except CharstreamError as error:
                renumber(error, len(scores))
                raise
        return scores

    async def suggest(
        self, prime: str, *, timeout: Timeout | None = None, **params: Unpack[SuggestParams]
    ) -> Suggestions:
        """Return the most probable continuations of a text (POST /suggest)."""
        return await self._request(
            "POST",
            "/suggest",
            timeout,
            {"prime": prime, **checked("suggest", params, SuggestParams)},
        )

    async def cells(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[CellsParams]
    ) -> Cells:
        """Return cells and their values after each character of a text (POST /cells)."""
        return await self._request(
            "POST", "/cells", timeout, {"text": text, **checked("cells", params, CellsParams)}
        )

    async def info(self, model: str | None = None, *, timeout: Timeout | None = None) -> Info:
        """Return the model card of a model, and the server's limits (GET /info).

        `model` is a name or a hash. None stands for the default model.
        """
        return await self._request("GET", info_path(model), timeout)

    async def models(self, *, timeout: Timeout | None = None) -> list[LoadedModel]:
        """Return the models that the server has loaded (GET /models)."""
        read = partial(json_list, name="models")
        return await self._request("GET", "/models", timeout, read=read)

    async def _request(
        self,
        method: str,
        path: str,
        timeout: Timeout | None,
        body: Mapping[str, object] | None = None,
        read: Callable[[Any], T] = json_object,
    ) -> T:
        check_sendable(body or {})
        retries, seconds = self._retries(), self._seconds(timeout)
        while True:
            try:
                async with self._http.stream(method, path, json=body, timeout=seconds) as response:
                    return parsed(response, await aread_body(response), read)
            except FAILURES as failure:
                await asyncio.sleep(retries.wait_after(failure))
