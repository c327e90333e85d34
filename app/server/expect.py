"""Expect: 100-continue, for a response that comes before the server has asked for the body."""

from __future__ import annotations

from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def close_if_unread(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return the application with a connection that closes if the body was not asked for.

    The client may then send the body or the next request, and the server cannot tell which
    (RFC 9110, section 10.1.1).

    Args:
        app: the application.
        cycle: uvicorn's state of the request.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.waiting_for_100_continue:
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await cast(ASGIApp, app)(scope, receive, send_and_close)

    return cast(ASGI3Application, wrapped)
