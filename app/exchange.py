"""Exchange: one request and its answer, as the operator sees it: id, log line, metrics, headers."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.engine import Generation
from app.errors import unexpected_response
from app.metrics import Metrics

logger = logging.getLogger("charstream")

REQUEST_ID = "X-Request-ID"

_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_QUIET = ("/health", "/health/live", "/health/ready", "/metrics")  # asked every few seconds
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass
class Exchange:
    """What is known of a request and its answer so far."""

    id: str
    method: str
    path: str
    client: str
    began: float = field(default_factory=time.monotonic)
    endpoint: str = "other"  # a route's path, so that there are few
    status: int = 0
    complete: bool = False
    generations: list[Generation] = field(default_factory=list)
    primes: list[str] = field(default_factory=list)  # where the operator wants to see them

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        client = scope.get("client")
        path, method = scope["path"], scope["method"]
        return cls(_request_id(scope["headers"]), method, path, client[0] if client else "")

    def fields(self) -> dict[str, Any]:
        """What its log line tells."""
        fields: dict[str, Any] = {
            "request_id": self.id,
            "client": self.client,
            "method": self.method,
            "path": self.path[:200],
            "status": self.status,
            "ms": round((time.monotonic() - self.began) * 1000, 1),
        }
        if not self.complete:
            fields["broken"] = True
        for generation in self.generations:
            _add(fields, generation)
        if self.primes:
            fields["prime"] = "".join(self.primes)[:1000]
        return fields


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def note(generation: Generation, prime: str | None = None) -> None:
    """Tells the exchange of this context, if there is one, of a text that it asks for."""
    exchange = _current.get()
    if exchange is not None:
        exchange.generations.append(generation)
        if prime is not None:
            exchange.primes.append(prime)


class Exchanges:
    """ASGI middleware: gives every request its id, its log line and its place in the metrics.

    It adds security headers where the answer has none of its own, and turns what nobody caught
    into an answer of status 500. Streams pass through it unread.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = Exchange.of(scope)

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message = {**message, "headers": _headers(message["headers"], exchange.id)}
            elif not message.get("more_body", False):
                exchange.complete = True
            await send(message)

        token = _current.set(exchange)
        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            fields = {"request_id": exchange.id}
            logger.error("a request failed", exc_info=error, extra={"fields": fields})
            if exchange.status:
                raise
            await unexpected_response(scope["path"])(scope, receive, noting_send)
        finally:
            _current.reset(token)
            exchange.endpoint = getattr(scope.get("route"), "path", "other")
            self._account(exchange)

    def _account(self, exchange: Exchange) -> None:
        method = exchange.method if exchange.method in _METHODS else "other"
        self._metrics.requests.labels(exchange.endpoint, method, str(exchange.status)).inc()
        quiet = exchange.endpoint in _QUIET and exchange.status == 200
        level = logging.DEBUG if quiet else logging.INFO
        logger.log(level, "request", extra={"fields": exchange.fields()})


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The client's, if it is one that can do no harm, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTED_ID.fullmatch(value):
            return value.decode("ascii")
    return uuid.uuid4().hex


def _headers(headers: Sequence[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    own = {name.lower() for name, _ in headers}
    added = [(name, value) for name, value in _SECURITY_HEADERS if name not in own]
    return [*headers, *added, (b"x-request-id", request_id.encode("ascii"))]


def _add(fields: dict[str, Any], generation: Generation) -> None:
    """Adds a text to a log line; of several, the characters are summed."""
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
