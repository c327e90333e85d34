"""The client that users copy or install: its modules, and its results from running servers."""

from __future__ import annotations

import ast
import asyncio
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from app import __version__
from clients import charstream_client
from clients.charstream_client import AsyncClient, Cell, Client, GenerateParams
from tests.server import RunningServer, free_port

FIELDS: GenerateParams = {"prime": "abc", "length": 400, "seed": 7}
FOLDER = Path(charstream_client.__file__).parent


def test_it_imports_nothing_but_httpx() -> None:
    modules = list(FOLDER.glob("*.py"))
    assert len(modules) > 5
    imported = {
        name.split(".")[0]
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"httpx"}


def test_no_module_hides_one_of_pythons() -> None:
    """Started by its path, the folder comes first where Python looks for modules."""
    assert not {path.stem for path in FOLDER.glob("*.py")} & set(sys.stdlib_module_names)


def test_all_public_names_are_listed() -> None:
    public = {
        name
        for name, value in vars(charstream_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public - {"annotations", "import_module"} == set(charstream_client.__all__)


def test_its_version_is_that_of_the_service() -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


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
        assert client.info("tiny") == client.info(whole["model"]["hash"]) == client.info()
        assert client.models() == [{**whole["model"], "default": True}]


def test_cells_that_are_found_have_the_values_that_they_have_by_name(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        (found,) = client.cells("a (bc) d", find="brackets", top=1, prime="x")["cells"]
        assert found == client.cells("a (bc) d", find=[(2, 5)], top=1, prime="x")["cells"][0]
        cell = Cell(layer=found["layer"], cell=found["cell"])
        read = client.cells("a (bc) d", cells=[cell, cell], prime="x")
        assert [one["values"] for one in read["cells"]] == [found["values"]] * 2


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(server: RunningServer) -> None:
    async with AsyncClient(server.url, trust_env=False) as client:
        whole = await client.generate(**FIELDS)
        stream = client.stream(**FIELDS)
        text = "".join([event["token"] async for event in stream])
        assert text == whole["text"]
        assert stream.done is not None
        assert (await client.score("abc"))["nats"] > 0
        assert (await client.cells("abC", find="capitals"))["characters"] == 3
        assert (await client.info("tiny"))["hash"] == whole["model"]["hash"]
        assert await client.models() == [{**whole["model"], "default": True}]


def test_each_field_of_a_request_is_a_keyword_argument(server: RunningServer) -> None:
    paths = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()["paths"]
    for params, path, elsewhere in (
        (charstream_client.GenerateParams, "/generate", {"stream"}),
        (charstream_client.ScoreParams, "/score", {"text", "texts", "detail"}),
        (charstream_client.ScoreManyParams, "/score", {"text", "texts", "detail", "memory"}),
        (charstream_client.CellsParams, "/cells", {"text"}),
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
        cells = client.cells("abC", find="capitals")
        assert whole.keys() == charstream_client.Generation.__annotations__.keys()
        assert whole["usage"].keys() == charstream_client.Usage.__annotations__.keys()
        assert whole["timings"].keys() == charstream_client.Timings.__annotations__.keys()
        assert whole["logprobs"][0].keys() == charstream_client.DrawnScore.__annotations__.keys()
        assert token.keys() == charstream_client.Token.__annotations__.keys()
        assert scored.keys() == charstream_client.Score.__annotations__.keys()
        characters = scored["characters"]
        assert characters[0].keys() == charstream_client.CharacterScore.__annotations__.keys()
        assert cells.keys() == charstream_client.Cells.__annotations__.keys()
        assert cells["cells"][0].keys() == charstream_client.ReadCell.__annotations__.keys()
        assert client.info().keys() == charstream_client.Info.__annotations__.keys()


def test_an_unknown_keyword_is_refused_before_a_request_is_made() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(TypeError, match=r"generate\(\) got an unexpected .* 'lenght'"):
            client.generate(lenght=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"stream\(\) got an unexpected .* 'n'"):
            client.stream(n=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"score\(\) got an unexpected .* 'length'"):
            client.score("abc", length=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"cells\(\) got an unexpected .* 'cell'"):
            client.cells("abc", cell=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"score_many\(\) got an unexpected .* 'length'"):
            client.score_many(["a"], length=5)  # type: ignore[call-overload]
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


def test_a_key_and_the_name_of_a_model_may_hold_any_character() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.headers.raw)[b"Authorization"] == "Bearer é".encode()
        assert request.url.query == b"model=%C3%A9%ED%B3%BF"
        return httpx.Response(200, json={})

    with Client(api_key="é", transport=httpx.MockTransport(answer)) as client:
        client.info("é\udcff")
