"""Client: the synchronous client, and the settings that both clients share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

import httpx

from .batches import batches, renumber
from .bodies import ENCODINGS, read_body
from .errors import CharstreamError
from .params import CellsParams, GenerateParams, ScoreParams, check_sendable, checked, info_path
from .responses import json_list, json_object, parsed
from .results import (
    Cells,
    DetailedTextScore,
    Generation,
    Info,
    LoadedModel,
    Score,
    TextScore,
)
from .retry import FAILURES, OnWait, Retries
from .stream import Http, Stream
from .timeouts import Timeout, as_stream_timeout, as_timeout

if TYPE_CHECKING:  # new in Python 3.11
    from typing import Unpack

DEFAULT_URL = "http://127.0.0.1:8000"


def _check_host_and_port(url: httpx.URL) -> None:
    """Raise UnicodeError or InvalidURL where a connection to the URL would raise another error."""
    if url.host:
        url.raw_host.decode().encode("idna")
    if (url.port or 0) > 65_535:
        raise httpx.InvalidURL(f"the port must be at most 65535, got {url.port}")


class BaseClient(Generic[Http]):
    """The settings of both clients."""

    _http_class: type[Http]
    _http: Http

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
        """Set up the client. Connections are opened when they are needed.

        Args:
            base_url: The server's address.
            api_key: The key, if the server requires one.
            timeout: Seconds to wait for a whole result.
            stream_timeout: Seconds without a byte after which a stream counts as broken. The
                server sends one at least every 15 seconds, so it must be greater than that.
            max_retries: Maximum number of retries of a call. In a stream, the count starts again
                at each new character.
            max_wait: Maximum total of seconds that a call waits between attempts. In a stream, the
                total starts again at each new character.
            on_wait: Function to call before each wait, with the error and the seconds.
            **options: Further arguments of `httpx.Client`, such as `transport` or `verify`.

        Raises:
            CharstreamError: if `base_url` is not a URL, or if UTF-8 cannot encode `api_key`.
            ValueError: if `stream_timeout` is too short.
        """
        try:
            headers = {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}
            headers[b"Accept-Encoding"] = ", ".join(ENCODINGS).encode()
        except UnicodeEncodeError:
            message = "api_key has a character that UTF-8 cannot encode"
            raise CharstreamError(message) from None  # that error holds the key
        try:
            _check_host_and_port(httpx.URL(base_url))
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CharstreamError(f"base_url {base_url!r} is not a URL: {error}") from error
        self._http = self._http_class(base_url=base_url, headers=headers, **options)
        self._timeout, self._stream_timeout = as_timeout(timeout), as_stream_timeout(stream_timeout)
        self._retry_settings = max_retries, max_wait, on_wait

    def _retries(self, *, streaming: bool = False) -> Retries:
        return Retries(*self._retry_settings, streaming)

    def _seconds(self, timeout: Timeout | None) -> httpx.Timeout:
        return self._timeout if timeout is None else as_timeout(timeout)

    def _stream_arguments(
        self, timeout: Timeout | None, params: GenerateParams
    ) -> tuple[dict[str, object], httpx.Timeout, Retries]:
        body = checked("stream", params, GenerateParams)
        check_sendable(body)
        seconds = self._stream_timeout if timeout is None else as_stream_timeout(timeout)
        return body, seconds, self._retries(streaming=True)


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
            "POST", "/score", timeout, {"text": text, **checked("score", params, ScoreParams)}
        )
        return result

    @overload
    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[False] = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreParams],
    ) -> list[TextScore]: ...

    @overload
    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: Literal[True],
        timeout: Timeout | None = None,
        **params: Unpack[ScoreParams],
    ) -> list[DetailedTextScore]: ...

    def score_many(
        self,
        texts: Iterable[str],
        *,
        detail: bool = False,
        timeout: Timeout | None = None,
        **params: Unpack[ScoreParams],
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
        fields = {**checked("score_many", params, ScoreParams), "detail": detail}
        scores: list[Any] = []
        for batch in batches(texts, fields):
            read = partial(json_list, name="scores", length=len(batch))
            try:
                scores += self._request("POST", "/score", timeout, {"texts": batch, **fields}, read)
            except CharstreamError as error:
                renumber(error, len(scores))
                raise
        return scores

    def cells(
        self, text: str, *, timeout: Timeout | None = None, **params: Unpack[CellsParams]
    ) -> Cells:
        """Return cells and their values after each character of a text (POST /cells)."""
        result: Cells = self._request(
            "POST", "/cells", timeout, {"text": text, **checked("cells", params, CellsParams)}
        )
        return result

    def info(self, model: str | None = None, *, timeout: Timeout | None = None) -> Info:
        """Return the model card of a model, and the server's limits (GET /info).

        `model` is a name or a hash. None stands for the default model.
        """
        result: Info = self._request("GET", info_path(model), timeout)
        return result

    def models(self, *, timeout: Timeout | None = None) -> list[LoadedModel]:
        """Return the models that the server has loaded (GET /models)."""
        read = partial(json_list, name="models")
        result: list[LoadedModel] = self._request("GET", "/models", timeout, read=read)
        return result

    def _request(
        self,
        method: str,
        path: str,
        timeout: Timeout | None,
        body: Mapping[str, object] | None = None,
        read: Callable[[Any], Any] = json_object,
    ) -> Any:
        check_sendable(body or {})
        retries, seconds = self._retries(), self._seconds(timeout)
        while True:
            try:
                with self._http.stream(method, path, json=body, timeout=seconds) as response:
                    return parsed(response, read_body(response), read)
            except FAILURES as failure:
                time.sleep(retries.wait_after(failure))
