"""Refusals: what the connection itself answers, without the application."""

from __future__ import annotations

import json
from http import HTTPStatus

_RETRY_SECONDS = 1


class RefusedError(Exception):
    """A request that the connection itself refuses.

    Attributes:
        status: of the response.
        code: of the response, and the reason in the metrics.
        detail: what is wrong and what was expected, for the client.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def response(self) -> bytes:
        """The whole response; the connection has to close after it."""
        body = json.dumps({"detail": self.detail, "code": self.code}).encode("ascii")
        retry = f"Retry-After: {_RETRY_SECONDS}\r\n" if self.status == 503 else ""
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


def malformed(detail: str) -> RefusedError:
    """The refusal of what is not valid HTTP."""
    return RefusedError(400, "malformed", detail)
