"""Expect: 100-continue, for a response that begins before the server has asked for the body."""

from __future__ import annotations

from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def close_if_unread(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return the application with a connection that closes if nobody has asked for the body.

    After such a response, a client sends the body or its next request, and the server cannot tell
    which (RFC 9110, section 10.1.1).

    Args:
        app: the application.
        cycle: uvicorn's state of the request. The client of this request waits for 100 (Continue).
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if starts and cycle.waiting_for_100_continue and cycle.more_body:
                cycle.keep_alive = False  # uvicorn then adds the header and closes
            await send(message)

        await cast(ASGIApp, app)(scope, receive, send_and_close)

    return cast(ASGI3Application, wrapped)
