"""Client: the synchronous client."""

from __future__ import annotations

import time
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
from .responses import T, json_list, json_object, parsed, read_body
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
from .stream import Stream

if TYPE_CHECKING:  # new in Python 3.11
    from typing import Unpack


class Client(BaseClient[httpx.Client]):
    """Calls one server. Close it with `close()`, or use it in a `with` statement.

    In each method, `timeout` replaces the client's timeout for this call. A call raises
    CharstreamError if it fails, and TypeError if a keyword argument is unknown.
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
        body = checked("generate", params, GenerateParams)
        return self._request("POST", "/generate", timeout, body)

    def stream(self, *, timeout: Timeout | None = None, **params: Unpack[GenerateParams]) -> Stream:
        """Generate text and return a `Stream` of its characters, which sends the request."""
        return Stream(self._http, *self._stream_arguments(timeout, params))

    def score(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[ScoreParams]
    ) -> Score:
        """Return the log-probability of each character of a text (POST /score)."""
        return self._request(
            "POST", "/score", timeout, {"text": text, **checked("score", params, ScoreParams)}
        )

    @overload
    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[False] = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[TextScore]: ...

    @overload
    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[True],
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[DetailedTextScore]: ...

    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: bool = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreManyParams],
    ) -> list[TextScore] | list[DetailedTextScore]:
        """Return the scores of many texts, in their order (POST /score).

        The texts are sent in requests of at most 10,000 texts and 100,000 characters, one after the
        other.

        Args:
            texts: The texts, none of them empty.
            detail: Whether to return the score of each character, and not only their number and
                their sum.
            timeout: Seconds for each request.
            **params: Further fields of the requests.
        """
        fields = {**checked("score_many", params, ScoreManyParams), "detail": detail}
        scores: list[Any] = []
        for batch in batches(texts, fields):
            read = partial(json_list, name="scores", length=len(batch))
            try:
                scores += self._request("POST", "/score", timeout, {"texts": batch, **fields}, read)
            except CharstreamError as error:
                renumber(error, len(scores))
                raise
        return scores

    def suggest(
        self, prime: str, *, timeout: Timeout | None = None, **params: Unpack[SuggestParams]
    ) -> Suggestions:
        """Return the most probable continuations of a text (POST /suggest)."""
        return self._request(
            "POST",
            "/suggest",
            timeout,
            {"prime": prime, **checked("suggest", params, SuggestParams)},
        )

    def cells(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[CellsParams]
    ) -> Cells:
        """Return cells and their values after each character of a text (POST /cells)."""
        return self._request(
            "POST", "/cells", timeout, {"text": text, **checked("cells", params, CellsParams)}
        )

    def info(self, model: str | None = None, *, timeout: Timeout | None = None) -> Info:
        """Return the model card of a model, and the server's limits (GET /info).

        `model` is a name or a hash. None stands for the default model.
        """
        return self._request("GET", info_path(model), timeout)

    def models(self, *, timeout: Timeout | None = None) -> list[LoadedModel]:
        """Return the models that the server has loaded (GET /models)."""
        read = partial(json_list, name="models")
        return self._request("GET", "/models", timeout, read=read)

    def _request(
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
                with self._http.stream(method, path, json=body, timeout=seconds) as response:
                    return parsed(response, read_body(response), read)
            except FAILURES as failure:
                time.sleep(retries.wait_after(failure))
