"""What the server uses of uvicorn without a promise in uvicorn's documentation."""

from __future__ import annotations

import inspect

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.server.connection import Connection

CONFIG = uvicorn.Config("app", log_config=None)
SERVER = uvicorn.Server(CONFIG)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (ServerState(), ["connections", "tasks", "total_requests", "default_headers"]),
        (CONFIG, ["load", "timeout_keep_alive"]),
        (SERVER, ["capture_signals", "handle_exit", "startup", "shutdown"]),
        (SERVER, ["server_state", "should_exit", "started"]),
        (HttpToolsProtocol, ["shutdown"]),  # the server calls this of each connection
    ],
    ids=["ServerState", "Config", "methods of Server", "attributes of Server", "protocols"],
)
def test_uvicorn_has_what_the_server_uses(owner: object, names: list[str]) -> None:
    for name in names:
        assert hasattr(owner, name), (
            f"uvicorn {uvicorn.__version__} has no {name} in {owner}, which app/server uses."
        )


def test_uvicorn_creates_connections_as_it_creates_its_own() -> None:
    ours, theirs = (
        list(inspect.signature(protocol).parameters) for protocol in (Connection, HttpToolsProtocol)
    )
    assert ours == theirs, (
        f"uvicorn {uvicorn.__version__} passes {theirs} to a protocol, and Connection takes {ours}."
    )
