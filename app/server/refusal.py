"""Refusals: error responses that the connection sends without calling the application."""

from __future__ import annotations

import json
from http import HTTPStatus

from app.engine.retry_after import CONNECTION_RETRY_SECONDS


class RefusedError(Exception):
    """A request that the connection itself refuses.

    Attributes:
        status: HTTP status of the response.
        code: code of the error in the response, and label of the reason in the metrics.
        detail: message for the client: what is wrong and what was expected.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def response(self) -> bytes:
        """Return the whole response as bytes. The connection must close after it."""
        body = json.dumps({"detail": self.detail, "code": self.code}).encode("ascii")
        retry = f"Retry-After: {CONNECTION_RETRY_SECONDS}\r\n" if self.status == 503 else ""
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


def malformed(detail: str) -> RefusedError:
    """Return the error for a request that is not valid HTTP."""
    return RefusedError(400, "malformed", detail)
