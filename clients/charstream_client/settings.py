"""Settings: what both clients are set up with, such as the address, the key and the timeouts."""

from __future__ import annotations

from typing import Any, Generic

import httpx

from .errors import CharstreamError
from .params import GenerateParams, check_sendable, checked
from .responses import ENCODINGS
from .retry import OnWait, Retries
from .stream import Http

DEFAULT_URL = "http://127.0.0.1:8000"
PING_SECONDS = 15.0  # between the server's comments in an idle stream
CONNECT_SECONDS = 10.0
Timeout = float | httpx.Timeout


def as_timeout(timeout: Timeout) -> httpx.Timeout:
    """Return the timeout of a call. At most 10 of its seconds are spent on connecting."""
    if isinstance(timeout, httpx.Timeout):
        return timeout
    return httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))


def as_stream_timeout(timeout: Timeout) -> httpx.Timeout:
    """Return the timeout of a stream. Raise ValueError if it is not longer than a ping interval."""
    seconds = as_timeout(timeout)
    if seconds.read is not None and seconds.read <= PING_SECONDS:
        raise ValueError(
            f"a stream's timeout must be greater than {PING_SECONDS:g} seconds, the time between "
            f"the server's pings, got {seconds.read:g}"
        )
    return seconds


def _headers(api_key: str | None) -> dict[bytes, bytes]:
    headers = {b"Accept-Encoding": ", ".join(ENCODINGS).encode()}
    if api_key:
        try:
            headers[b"Authorization"] = f"Bearer {api_key}".encode()
        except UnicodeEncodeError:
            message = "api_key has a character that UTF-8 cannot encode"
            raise CharstreamError(message) from None  # that error holds the key
    return headers


def _check_url(base_url: str) -> None:
    """Also refuse a URL to which a connection would raise no error of httpx."""
    try:
        url = httpx.URL(base_url)
        if url.host:
            url.raw_host.decode().encode("idna")
        if (url.port or 0) > 65_535:
            raise httpx.InvalidURL(f"the port must be at most 65535, got {url.port}")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise CharstreamError(f"base_url {base_url!r} is not a URL: {error}") from error


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
            timeout: Seconds without a byte after which a call fails.
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
        headers = _headers(api_key)
        _check_url(base_url)
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
