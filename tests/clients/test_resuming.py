"""A stream that breaks continues, and its text is exact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

from clients.charstream_client import AsyncClient, Client, ConflictError, GenerateParams
from model.checkpoints.checkpoint import save_checkpoint
from tests.clients.cutting_proxy import cutting_proxy
from tests.conftest import make_checkpoint
from tests.server import RunningServer, free_port, running_server

FIELDS: GenerateParams = {"prime": "abc", "length": 400, "seed": 7}


def port_of(server: RunningServer) -> int:
    return int(server.url.rpartition(":")[2])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", range(8))
def test_a_stream_cut_again_and_again_still_spells_its_text(
    server: RunningServer, seed: int
) -> None:
    with Client(server.url, trust_env=False) as direct:
        expected = direct.generate(**FIELDS)["text"]
    with (
        cutting_proxy(port_of(server), seed) as url,
        Client(url, max_retries=100, trust_env=False) as client,
    ):
        stream = client.stream(**FIELDS)
        assert "".join(event["token"] for event in stream) == expected
    assert stream.last_event_id == "7-400"


@pytest.mark.usefixtures("impatient")
def test_a_stream_cut_100_times_whose_server_restarts_still_spells_its_text(
    tiny_path: Path,
) -> None:
    port, cuts = free_port(), list[int]()
    fields: GenerateParams = {**FIELDS, "length": 1500}
    with (
        cutting_proxy(port, 5, 800, cuts) as url,
        Client(url, max_retries=10_000, trust_env=False) as client,
    ):
        with running_server(tiny_path, port=str(port)) as first:
            stream = client.stream(**fields)
            events = iter(stream)
            text = ""
            while len(cuts) < 50:
                text += next(events)["token"]
            first.process.kill()
            first.process.wait()
        with running_server(tiny_path, port=str(port)) as second:
            text += "".join(event["token"] for event in events)
            with Client(second.url, trust_env=False) as direct:
                assert text == direct.generate(**fields)["text"]
    assert len(cuts) > 100
    assert stream.last_event_id == "7-1500"


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
async def test_the_asynchronous_client_resumes_too(server: RunningServer) -> None:
    with cutting_proxy(port_of(server), 1) as url:
        async with AsyncClient(url, max_retries=100, trust_env=False) as client:
            stream = client.stream(**FIELDS)
            text = "".join([event["token"] async for event in stream])
    async with AsyncClient(server.url, trust_env=False) as direct:
        assert text == (await direct.generate(**FIELDS))["text"]


@pytest.mark.usefixtures("impatient")
def test_a_stream_without_a_seed_resumes_with_the_seed_that_the_server_chose(
    server: RunningServer,
) -> None:
    with (
        cutting_proxy(port_of(server), 3) as url,
        Client(url, max_retries=100, trust_env=False) as c,
    ):
        stream = c.stream(prime="abc", length=300)
        text = "".join(event["token"] for event in stream)
    assert stream.last_event_id is not None
    seed = int(stream.last_event_id.partition("-")[0], 16)
    with Client(server.url, trust_env=False) as direct:
        assert direct.generate(prime="abc", length=300, seed=seed)["text"] == text


@pytest.mark.usefixtures("impatient")
def test_another_model_does_not_continue_a_stream(tiny_path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(make_checkpoint(seed=1), other)
    settings = {"port": str(free_port()), "max_length": "60000"}
    with (
        running_server(tiny_path, **settings) as first,
        Client(first.url, max_retries=100, trust_env=False) as client,
    ):
        stream = client.stream(prime="abc", length=60_000)
        events = iter(stream)
        next(events)
        first.process.kill()
        first.process.wait()
        with (
            running_server(other, **settings),
            pytest.raises(ConflictError, match="other_model"),
        ):
            list(events)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("keep_previous", [False, True])
def test_a_stream_continues_while_a_new_model_is_rolled_out(
    tiny_path: Path, tmp_path: Path, keep_previous: bool
) -> None:
    new = tmp_path / "new" / tiny_path.name
    new.parent.mkdir()
    save_checkpoint(make_checkpoint(seed=1), new)
    if keep_previous:  # beside the new one, under another name
        shutil.copy(tiny_path, new.with_stem(f"{tiny_path.stem}-previous"))
    with running_server(tiny_path) as first, running_server(new.parent) as second:
        with Client(first.url, trust_env=False) as direct:
            expected = direct.generate(**FIELDS)["text"]
        with (
            cutting_proxy([port_of(first), port_of(second)], 5, 3000) as url,
            Client(url, max_retries=100, trust_env=False) as client,
        ):
            events = iter(client.stream(**FIELDS))
            text = next(events)["token"]
            if keep_previous:  # it finishes without the server where it began
                first.process.kill()
            text += "".join(event["token"] for event in events)
    assert text == expected


@pytest.mark.parametrize("drain_seconds", ["0", "1"])
def test_a_stream_outlives_a_graceful_restart(tiny_path: Path, drain_seconds: str) -> None:
    settings = {"port": str(free_port()), "max_length": "60000", "drain_seconds": drain_seconds}
    fields: GenerateParams = {**FIELDS, "length": 60_000}
    with (
        running_server(tiny_path, **settings) as first,
        Client(first.url, max_retries=30, trust_env=False) as client,
    ):
        stream = client.stream(**fields)
        events = iter(stream)
        text = next(events)["token"]
        assert first.stop() == 0
        with running_server(tiny_path, **settings):
            text += "".join(event["token"] for event in events)
            assert text == client.generate(**fields)["text"]
    assert stream.done is not None


def test_an_older_server_that_ends_a_stream_to_restart_is_asked_again() -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        number = len(requests)
        end = (
            'event: error\ndata: {"code": "draining", "detail": "the server shuts down"}\n\n'
            if number == 1
            else 'event: done\ndata: {"seed": 7}\n\n'
        )
        text = f'id: 7-{number}\ndata: {{"token": "a"}}\n\n{end}'
        return httpx.Response(200, text=text, headers={"Charstream-Model": "0123456789abcdef"})

    with Client(transport=httpx.MockTransport(respond)) as client:
        stream = client.stream(model="anna")
        assert [event["token"] for event in stream] == ["a", "a"]
    assert stream.done is not None
    assert stream.done["seed"] == 7
    first, second = requests
    assert "Last-Event-ID" not in first.headers
    assert json.loads(first.content)["model"] == "anna"
    assert second.headers["Last-Event-ID"] == "7-1"
    assert json.loads(second.content)["model"] == "0123456789abcdef"  # exactly, not by name


def test_an_id_is_sent_back_as_utf_8() -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        end = "event: done\ndata: {}\n\n" if len(requests) == 2 else ""
        return httpx.Response(200, text=f'id: é-{len(requests)}\ndata: {{"token": "a"}}\n\n{end}')

    with Client(transport=httpx.MockTransport(respond)) as client:
        list(client.stream())
    assert dict(requests[1].headers.raw)[b"Last-Event-ID"] == "é-1".encode()


def test_a_loop_that_was_left_continues_where_it_was_left(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        text = ""
        with client.stream(**FIELDS) as stream:
            for event in stream:
                text += event["token"]
                if len(text) == 100:
                    break
            text += "".join(event["token"] for event in stream)
        assert text == client.generate(**FIELDS)["text"]
