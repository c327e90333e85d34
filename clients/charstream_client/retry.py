"""Retries: decides whether a failed attempt is repeated, and when."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .errors import APIConnectionError, APITimeoutError, CharstreamError

logger = logging.getLogger("charstream_client")

FIRST_BACKOFF, MAX_BACKOFF = 0.5, 30.0  # seconds, if the server does not send Retry-After
MAX_RETRY_AFTER = 120.0  # seconds; if the server asks for more, the client raises at once
NOTICEABLE = 1.0  # seconds; longer waits are logged as warnings
RETRIED_STATUSES = (429, 502, 503)  # not 504: a retry would exceed the deadline again
# While a new model is rolled out, another server at the same address may still have the old one.
RETRIED_IN_RESUMING = ("other_model", "unknown_model")
RETRIED_FAILURES = (
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.TimeoutException,
)
FAILURES = (httpx.HTTPError, httpx.StreamError, CharstreamError)  # of one attempt
OnWait = Callable[[CharstreamError, float], None]


@dataclass
class Retries:
    """Decides whether a failed attempt is repeated, and after how many seconds."""

    max_retries: int
    max_wait: float
    on_wait: OnWait | None
    streaming: bool
    resuming: bool = False
    failed: int = 0
    waited: float = 0.0

    def arrived(self) -> None:
        """Count from zero again, because a part of the stream has arrived."""
        self.resuming = True
        self.failed, self.waited = 0, 0.0

    def wait_after(self, failure: Exception) -> float:
        """Return the seconds until the next attempt, or raise CharstreamError if there is none."""
        error = as_charstream_error(failure)
        seconds = self._delay(error.retry_after)
        affordable = self.failed < self.max_retries and self.waited + seconds <= self.max_wait
        if not affordable or not self._may_succeed_later(error):
            raise error
        self.failed, self.waited = self.failed + 1, self.waited + seconds
        level = logging.WARNING if seconds >= NOTICEABLE else logging.INFO
        logger.log(level, "%s; next attempt in %.1f s", error, seconds)
        if self.on_wait is not None:
            self.on_wait(error, seconds)
        return seconds

    def _delay(self, retry_after: float | None) -> float:
        if retry_after is not None:  # wait longer, because many clients may get the same value
            return retry_after * random.uniform(1, 1.1)  # noqa: S311  # no secret
        backoff = min(FIRST_BACKOFF * 2.0 ** min(self.failed, 10), MAX_BACKOFF)
        return backoff * random.uniform(0.5, 1)  # noqa: S311  # no secret

    def _may_succeed_later(self, error: CharstreamError) -> bool:
        cause = error.__cause__
        if error.retry_after is not None and error.retry_after > MAX_RETRY_AFTER:
            return False
        if self.resuming and error.code in RETRIED_IN_RESUMING:
            return True
        if error.status_code is not None:
            return error.status_code in RETRIED_STATUSES
        if isinstance(cause, httpx.ReadTimeout):
            return self.streaming  # a whole result would exceed the timeout again
        if isinstance(cause, httpx.RequestError):
            return isinstance(cause, RETRIED_FAILURES)
        return error.code in ("draining", "incomplete")


def as_charstream_error(failure: Exception) -> CharstreamError:
    """Return the failure itself if it is a `CharstreamError`, otherwise one that it caused."""
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
