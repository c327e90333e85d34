"""The parameter `memory` of the clients and of the program."""

from __future__ import annotations

import sys

import pytest

from clients.charstream_client import AsyncClient, Client, GenerateParams
from clients.charstream_client.__main__ import main
from tests.server import RunningServer

NAMES = "Dora met Ann! " * 12
PLAIN: GenerateParams = {"prime": NAMES, "length": 80, "seed": 7, "top_k": None}
WITH_MEMORY: GenerateParams = {**PLAIN, "memory": True}


@pytest.mark.anyio
async def test_both_clients_and_the_program_generate_and_score_with_a_memory(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url, trust_env=False) as client:
        text = client.generate(**WITH_MEMORY)["text"]
        assert text != client.generate(**PLAIN)["text"]
        with client.stream(**WITH_MEMORY) as stream:
            assert "".join(event["token"] for event in stream) == text
        scored = client.score("Dora met Ann!", prime=NAMES, memory=True)
        plain = client.score("Dora met Ann!", prime=NAMES, memory=False)
        assert scored["bits_per_character"] < 1 < plain["bits_per_character"]
        with pytest.raises(TypeError, match=r"score_many\(\) got an unexpected .* 'memory'"):
            client.score_many(["ab"], memory=True)  # type: ignore[call-overload]
        assert client.info()["memory"]["available"]
    async with AsyncClient(server.url, trust_env=False) as client_too:
        assert (await client_too.generate(**WITH_MEMORY))["text"] == text
        assert await client_too.score("Dora met Ann!", prime=NAMES, memory=True) == scored
    options = ["--url", server.url, "--prime", NAMES, "--length", "80", "--seed", "7"]
    monkeypatch.setattr(sys, "argv", ["charstream_client", *options, "--top-k", "0", "--memory"])
    assert main() == 0
    assert capsys.readouterr().out == f"{NAMES}{text}\n"
