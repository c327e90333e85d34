"""The method `suggest` of the clients."""

from __future__ import annotations

import pytest

from clients.charstream_client import AsyncClient, Client, InvalidRequestError
from tests.app.api.generate_requests import ask
from tests.server import RunningServer


@pytest.mark.anyio
async def test_both_clients_return_what_the_server_suggests(server: RunningServer) -> None:
    expected = ask(server, "/suggest", {"prime": "abc", "n": 3, "memory": True})
    with Client(server.url, trust_env=False) as client:
        found = client.suggest("abc", n=3, memory=True)
        with pytest.raises(InvalidRequestError, match="n: "):
            client.suggest("abc", n=21)
        with pytest.raises(TypeError, match="unexpected keyword argument 'length'"):
            client.suggest("abc", length=3)  # type: ignore[call-arg]
    async with AsyncClient(server.url, trust_env=False) as client_too:
        found_too = await client_too.suggest("abc", n=3, memory=True)
    assert found["suggestions"] == found_too["suggestions"] == expected["suggestions"]
