"""A request as an endpoint gets it, without a server."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.types import Receive

from app.middleware.memory_budget import Lease, MemoryBudget
from app.middleware.request_log import RequestRecord


def http_request(receive: Receive | None = None, **scope: Any) -> Request:
    """Return a request with a record for the request log."""
    record = RequestRecord("id", "POST", "/", "127.0.0.1", Lease(MemoryBudget(1 << 30)))
    state = {"request_record": record}
    scope = {"type": "http", "headers": [], "query_string": b"", "state": state, **scope}
    return Request(scope) if receive is None else Request(scope, receive)
