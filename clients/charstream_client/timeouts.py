"""Timeouts of calls and of streams, in seconds."""

from __future__ import annotations

import httpx

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
