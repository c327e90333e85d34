"""BodyLimit: refuses request bodies over a size, before they are read into memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import error_response


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware: answers 413 as soon as a body is known to be larger than `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _TooLargeError
            return message

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if _announced(scope) > self._limit:
                raise _TooLargeError
            await self._app(scope, limited_receive, noting_send)
        except _TooLargeError:
            if started:
                raise
            detail = f"the body is larger than the limit of {self._limit} bytes"
            headers = {"Connection": "close"}
            response = error_response(
                413, "body_too_large", detail, headers=headers, path=scope["path"]
            )
            await response(scope, receive, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
