"""The client that users copy: its results and its program, against running servers."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clients import charstream_client
from clients.charstream_client import AsyncClient, Client, GenerateParams
from tests.server import RunningServer, free_port

FIELDS: GenerateParams = {"prime": "abc", "length": 400, "seed": 7}
SOURCE = Path(charstream_client.__file__)


def test_it_imports_nothing_but_httpx() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"httpx"}


def test_whole_streamed_and_scored_texts_agree(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        whole = client.generate(**FIELDS)
        stream = client.stream(prime="abc", length=400, seed=7, logprobs=1)
        events = list(stream)
        assert "".join(event["token"] for event in events) == whole["text"]
        assert stream.done is not None
        assert stream.done["seed"] == whole["seed"] == 7
        scored = client.score(whole["text"], prime="abc", logprobs=1)
        assert [c["rank"] for c in scored["characters"]] == [event["rank"] for event in events]
        assert client.info()["hash"] == whole["model"]["hash"]


def test_the_asynchronous_client_does_the_same(server: RunningServer) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.url, trust_env=False) as client:
            whole = await client.generate(**FIELDS)
            stream = client.stream(**FIELDS)
            text = "".join([event["token"] async for event in stream])
            assert text == whole["text"]
            assert stream.done is not None
            assert (await client.score("abc"))["nats"] > 0
            assert (await client.info())["hash"] == whole["model"]["hash"]

    asyncio.run(scenario())


def test_each_field_of_a_request_is_a_keyword_argument(server: RunningServer) -> None:
    paths = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()["paths"]
    for params, path, elsewhere in (
        (charstream_client.GenerateParams, "/generate", {"stream"}),
        (charstream_client.ScoreParams, "/score", {"text"}),
    ):
        content = paths[path]["post"]["requestBody"]["content"]
        fields = content["application/json"]["schema"]["properties"]
        assert set(params.__annotations__) == set(fields) - elsewhere


def test_every_field_of_a_result_is_typed(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        whole = client.generate(prime="abc", length=5, logprobs=2)
        with client.stream(prime="abc", length=5, logprobs=2) as stream:
            token = next(iter(stream))
        scored = client.score("abc", logprobs=2)
        assert whole.keys() == charstream_client.Generation.__annotations__.keys()
        assert whole["usage"].keys() == charstream_client.Usage.__annotations__.keys()
        assert whole["timings"].keys() == charstream_client.Timings.__annotations__.keys()
        assert whole["logprobs"][0].keys() == charstream_client.DrawnScore.__annotations__.keys()
        assert token.keys() == charstream_client.Token.__annotations__.keys()
        assert scored.keys() == charstream_client.Score.__annotations__.keys()
        characters = scored["characters"]
        assert characters[0].keys() == charstream_client.CharacterScore.__annotations__.keys()
        assert client.info().keys() == charstream_client.Info.__annotations__.keys()


def test_an_unknown_keyword_is_refused_before_a_request_is_made() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(TypeError, match=r"generate\(\) got an unexpected .* 'lenght'"):
            client.generate(lenght=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"stream\(\) got an unexpected .* 'n'"):
            client.stream(n=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"score\(\) got an unexpected .* 'length'"):
            client.score("abc", length=5)  # type: ignore[call-arg]
    async_client = AsyncClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TypeError, match=r"generate\(\) got an unexpected .* 'lenght'"):
        asyncio.run(async_client.generate(lenght=5))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"stream\(\) got an unexpected .* 'n'"):
        async_client.stream(n=5)  # type: ignore[call-arg]


def test_fields_that_a_newer_server_adds_do_no_harm() -> None:
    events = (
        ': ping\n\nid: 7-1\nretry: 5\ndata: {"token": "a", "mood": 1}\n\n'
        'event: news\ndata: {}\n\nevent: done\ndata: {"seed": 7, "cost": 0}\n\n'
    )
    transport = httpx.MockTransport(
        lambda request: (
            httpx.Response(200, text=events)
            if b"stream" in request.content
            else httpx.Response(200, json={"text": "a", "cost": 0})
        )
    )
    with Client(transport=transport) as client:
        assert client.generate()["text"] == "a"
        stream = client.stream()
        assert [event["token"] for event in stream] == ["a"]
        assert stream.done is not None
        assert stream.done["seed"] == 7


def test_a_key_may_hold_any_character() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.headers.raw)[b"Authorization"] == "Bearer é".encode()
        return httpx.Response(200, json={})

    with Client(api_key="é", transport=httpx.MockTransport(answer)) as client:
        client.info()


def test_as_a_program_it_prints_the_text(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        expected = client.generate(prime="abc", length=400, seed=7, top_k=None)["text"]
    command = [sys.executable, str(SOURCE), "--url", server.url, "--prime", "abc", "--top-k", "0"]
    result = subprocess.run(
        [*command, "--length", "400", "--seed", "7"], capture_output=True, check=True
    )
    assert result.stdout.decode() == f"abc{expected}\n"
    assert b"seed 7, model" in result.stderr
    with subprocess.Popen([*command, "--length", "5000"], stdout=-1, stderr=-1) as left:
        assert left.stdout is not None
        assert left.stderr is not None
        assert left.stdout.read(10).startswith(b"abc")
        left.stdout.close()
        assert left.wait(30) == 0
        assert left.stderr.read() == b""
    refused = subprocess.run([*command, "--length", "0"], capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"invalid_field: length" in refused.stderr


def test_without_httpx_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ModuleNotFoundError(name='httpx')")
    environment = {"PYTHONPATH": f"{tmp_path}:{SOURCE.parent}"}
    for command, line in (
        ([str(SOURCE)], "charstream_client.py needs httpx: pip install httpx"),
        (
            ["-c", "import charstream_client"],
            "ImportError: charstream_client needs httpx: pip install httpx",
        ),
    ):
        result = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == line
        assert "No module" not in result.stderr
