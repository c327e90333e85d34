"""RequestLog: the id, the log line, the metrics and the security headers of every request."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.engine.generation import Generation
from app.engine.metrics import Metrics
from app.errors import INTERNAL, Problem
from app.middleware.memory_budget import Lease, MemoryBudget

logger = logging.getLogger("charstream")

REQUEST_ID = "X-Request-ID"

_STATE_KEY = "request_record"
_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_QUIET = ("/health", "/metrics", "/static/")  # beginnings of paths
_CLIENT_CLOSED = 499  # status of a response that nobody receives; nginx logs the same
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_MAX_PATH = 200  # characters of a path in a log line
_MAX_PRIME = 1000  # characters of the primes in a log line
_KEY_DIGITS = 8  # of the SHA-256 of a key in a log line
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass
class RequestRecord:
    """The data of a request's log line, and its memory. Endpoints add their generations."""

    id: str
    method: str
    path: str
    client: str
    lease: Lease  # given back when the request has ended
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    complete: bool = False
    model: str = ""  # name and hash of the model that answers
    trace_id: str = ""  # if traces are on
    generations: list[Generation] = field(default_factory=list)
    primes: list[str] = field(default_factory=list)  # only if the operator logs primes

    @classmethod
    def of(cls, scope: Scope) -> RequestRecord:
        """Return the record that `RequestLog` has stored in the ASGI scope of a request."""
        record: RequestRecord = scope["state"][_STATE_KEY]
        return record

    def add(self, generation: Generation, prime: str | None = None) -> None:
        """Add a generation, and its prime if primes are logged."""
        self.generations.append(generation)
        if prime is not None:
            self.primes.append(prime)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the log line."""
        fields: dict[str, Any] = {
            "request_id": self.id,
            "client": self.client,
            "method": self.method,
            "path": self.path[:_MAX_PATH],
            "status": self.status,
            "ms": round((time.monotonic() - self.began) * 1000, 1),
        }
        if isinstance(digest := self.lease.client, bytes):
            fields["key"] = digest.hex()[:_KEY_DIGITS]
        if self.model:
            fields["model"] = self.model
        if self.trace_id:
            fields["trace_id"] = self.trace_id
        if not self.complete:
            fields["broken"] = True
        for generation in self.generations:
            _add_generation(fields, generation)
        if self.primes:
            fields["prime"] = "".join(self.primes)[:_MAX_PRIME]
        return fields


class RequestLog:
    """ASGI middleware that gives every request an id, logs it and counts it in the metrics.

    It adds security headers, and responds with 500 if the application raises. Response bodies pass
    through unchanged, without buffering. At the end, it gives the memory of the request back.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        budget: MemoryBudget,
        respond: Callable[[str, Problem], Response],  # to a path, if the application raises
    ) -> None:
        self._app, self._metrics, self._budget, self._respond = app, metrics, budget, respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        record = _new_record(scope, Lease(self._budget))
        scope.setdefault("state", {})[_STATE_KEY] = record

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message = {**message, "headers": _headers(message["headers"], record.id)}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                record.complete = True

        try:
            await self._app(scope, receive, recording_send)
        except (asyncio.CancelledError, ClientDisconnect) as error:
            record.status = record.status or _CLIENT_CLOSED
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:
            fields = {"request_id": record.id}
            logger.error("a request failed", exc_info=error, extra={"fields": fields})
            if record.status:
                raise
            await self._respond(record.path, INTERNAL)(scope, receive, recording_send)
        finally:
            record.lease.release()
            # The path of a route, so that the metric has few values.
            self._report(record, getattr(scope.get("route"), "path", "other"))

    def _report(self, record: RequestRecord, endpoint: str) -> None:
        method = record.method if record.method in _METHODS else "other"
        self._metrics.requests.labels(endpoint, method, str(record.status)).inc()
        quiet = record.path.startswith(_QUIET) and record.status < 400
        level = logging.DEBUG if quiet else logging.INFO
        if logger.isEnabledFor(level):
            # Directly, because `logger.log` would search the stack for a place that no line shows.
            line = logging.LogRecord(logger.name, level, __file__, 0, "request", None, None)
            line.fields = record.fields()
            logger.handle(line)
        record.generations.clear()  # the scope would keep them, and so all texts of a request


def is_quiet(scope: Scope) -> bool:
    """Return whether there are so many such requests that nobody wants to see each one."""
    path: str = scope.get("path", "")
    return path.startswith(_QUIET)


def _new_record(scope: Scope, lease: Lease) -> RequestRecord:
    request_id, address = _request_id(scope["headers"]), scope.get("client")
    client = address[0] if address else ""
    record = RequestRecord(request_id, scope["method"], scope["path"], client, lease)
    if (span := getattr(scope.get("fastapi.telemetry"), "span", None)) is not None:
        record.trace_id = format(span.get_span_context().trace_id, "032x")
    return record


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the client's request id if it has only allowed characters, otherwise a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTED_ID.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(16)


def _headers(headers: Sequence[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    return [*headers, *_SECURITY_HEADERS, (b"x-request-id", request_id.encode("ascii"))]


def _add_generation(fields: dict[str, Any], generation: Generation) -> None:
    """Add a generation to the fields of a log line. Character counts are summed."""
    for name, value in (
        ("prime_characters", generation.job.prime_characters),
        ("cached_characters", generation.cached),
        ("generated_characters", generation.generated),
    ):
        fields[name] = fields.get(name, 0) + value
    if generation.first_character is not None:
        elapsed = generation.first_character - generation.submitted
        fields.setdefault("first_character_ms", round(elapsed * 1000, 1))
    fields["finish_reason"] = generation.finish_reason or (
        "error" if generation.finished is not None else "cancelled"
    )
