"""How responses of any ASGI application are framed, and what follows when it fails."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.engine.metrics import Metrics
from app.server.connection import bounded
from app.settings import Settings
from tests.fuzz.responses import Response, read_responses

NOTHING = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    headers = [(b"content-length", b"2")] if path in ("/sized", "/short", "/long") else []
    headers += [(b"x-split", b"a\r\nx-added: b")] if path == "/split" else []
    body = {"/short": b"a", "/long": b"abc", "/nothing": b""}.get(path, b"ab")
    if path == "/raises":
        raise ValueError
    if path != "/silent":
        status = 204 if path == "/nothing" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
    if path not in ("/silent", "/unfinished"):
        await send({"type": "http.response.body", "body": body[:1], "more_body": True})
        await send({"type": "http.response.body", "body": body[1:]})


async def exchange(sent: bytes) -> bytes:
    """Returns what a client receives until the connection closes."""
    settings = Settings(max_connections=10, receive_seconds=5, stall_seconds=5)
    config = uvicorn.Config(application, http=bounded(settings, Metrics()), log_config=None)
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        created: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=state, app_state={}
        )
        return created

    async with await asyncio.get_running_loop().create_server(connection, "127.0.0.1") as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0)
    return received


def responses(target: str, method: str = "GET") -> list[Response]:
    """The responses to this request and to one that closes the connection."""
    request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + NOTHING
    return read_responses(asyncio.run(exchange(request)), [method, "GET"], closed=True)


@pytest.mark.parametrize(
    ("target", "framing"), [("/sized", "content-length"), ("/chunked", "transfer-encoding")]
)
def test_a_body_is_framed_and_the_connection_kept(target: str, framing: str) -> None:
    whole, last = responses(target)
    assert (whole.status, whole.body, last.status) == (200, b"ab", 204)
    assert framing in whole.headers
    head, last = responses(target, "HEAD")
    assert (head.status, head.body, last.status) == (200, b"", 204)


@pytest.mark.parametrize("target", ["/raises", "/silent", "/split"])
def test_a_failure_before_anything_was_sent_is_a_500(target: str) -> None:
    (response,) = responses(target)
    assert response.status == 500
    assert "x-added" not in response.headers


@pytest.mark.parametrize("target", ["/short", "/long", "/unfinished"])
def test_a_response_that_stays_incomplete_ends_the_connection(target: str) -> None:
    assert not any(response.complete for response in responses(target))
