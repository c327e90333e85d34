"""Response bodies for HTTP/1.0 clients, which do not support chunked transfer coding."""

from __future__ import annotations

from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def close_delimited(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return the application with response bodies that end when the connection closes.

    Uvicorn sends every body without Content-Length in chunks, and RFC 9112, section 6.1, forbids
    that for HTTP/1.0.

    Args:
        app: the application.
        cycle: uvicorn's state of the request. Its connection must close after the response.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        unknown_length = False

        async def send_unchunked(message: Message) -> None:
            nonlocal unknown_length
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                unknown_length = b"content-length" not in names
                if unknown_length:
                    cycle.chunked_encoding = False
            elif unknown_length:  # uvicorn compares the body with what it expects
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await cast(ASGIApp, app)(scope, receive, send_unchunked)

    return cast(ASGI3Application, wrapped)
