"""The client that users copy, against running servers and connections that break."""

from __future__ import annotations

import ast
import asyncio
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients import charstream_client
from clients.charstream_client import AsyncClient, CharstreamError, Client
from model.checkpoint import save_checkpoint
from tests.conftest import make_checkpoint
from tests.server import RunningServer, free_port, running_server

FIELDS: dict[str, Any] = {"prime": "abc", "length": 400, "seed": 7}
SOURCE = Path(charstream_client.__file__)


@contextmanager
def cutting_proxy(
    port: int, seed: int, longest: int = 6000, cuts: list[int] | None = None
) -> Iterator[str]:
    """The address of a proxy to a port that breaks connections after some bytes.

    Args:
        port: where the server is.
        seed: of the numbers of bytes.
        longest: the most bytes.
        cuts: receives those numbers; from the 100th on connections are left whole. By default
            every connection is broken.
    """
    random_bytes = random.Random(seed)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            allowed = random_bytes.randint(0, longest)
            if cuts is not None:
                allowed = allowed if len(cuts) < 100 else sys.maxsize
                cuts.append(allowed)
            threading.Thread(target=relay, args=(client, allowed), daemon=True).start()

    def relay(client: socket.socket, allowed: int) -> None:
        with (
            client,
            suppress(ConnectionError),  # while the server is down
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            threading.Thread(target=forward, args=(client, server), daemon=True).start()
            while allowed > 0 and (data := server.recv(min(allowed, 1000))):
                client.sendall(data)
                allowed -= len(data)
            for end in (client, server):  # a close alone waits for the other thread's reading
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def forward(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits hardly at all between attempts."""
    monkeypatch.setattr(charstream_client, "_LONGEST_BACKOFF", 0.01)


def port_of(server: RunningServer) -> int:
    return int(server.url.rpartition(":")[2])


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
        stream = client.stream(**FIELDS, logprobs=1)
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


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", range(8))
def test_a_stream_cut_again_and_again_still_spells_its_text(
    server: RunningServer, seed: int
) -> None:
    with Client(server.url, trust_env=False) as direct:
        expected = direct.generate(**FIELDS)["text"]
    with (
        cutting_proxy(port_of(server), seed) as url,
        Client(url, retries=100, trust_env=False) as client,
    ):
        stream = client.stream(**FIELDS)
        assert "".join(event["token"] for event in stream) == expected
    assert stream.last_event_id == "7-400"


@pytest.mark.usefixtures("impatient")
def test_a_stream_cut_100_times_whose_server_restarts_still_spells_its_text(
    tiny_path: Path,
) -> None:
    port, cuts = free_port(), list[int]()
    fields = {**FIELDS, "length": 1500}
    with (
        cutting_proxy(port, 5, 800, cuts) as url,
        Client(url, retries=10_000, trust_env=False) as client,
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


@pytest.mark.usefixtures("impatient")
def test_the_asynchronous_client_goes_on_too(server: RunningServer) -> None:
    async def scenario() -> None:
        with cutting_proxy(port_of(server), 1) as url:
            async with AsyncClient(url, retries=100, trust_env=False) as client:
                stream = client.stream(**FIELDS)
                text = "".join([event["token"] async for event in stream])
        async with AsyncClient(server.url, trust_env=False) as direct:
            assert text == (await direct.generate(**FIELDS))["text"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("impatient")
def test_a_text_without_a_seed_goes_on_with_the_one_it_was_given(server: RunningServer) -> None:
    with cutting_proxy(port_of(server), 3) as url, Client(url, retries=100, trust_env=False) as c:
        stream = c.stream(prime="abc", length=300)
        text = "".join(event["token"] for event in stream)
    assert stream.last_event_id is not None
    seed = int(stream.last_event_id.partition("-")[0], 16)
    with Client(server.url, trust_env=False) as direct:
        assert direct.generate(prime="abc", length=300, seed=seed)["text"] == text


def test_another_model_does_not_go_on_with_a_text(tiny_path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(make_checkpoint(seed=1), other)
    settings = {"port": str(free_port()), "max_length": "60000"}
    with (
        running_server(tiny_path, **settings) as first,
        Client(first.url, retries=30, trust_env=False) as client,
    ):
        stream = client.stream(prime="abc", length=60_000)
        events = iter(stream)
        next(events)
        first.process.kill()
        first.process.wait()
        with (
            running_server(other, **settings),
            pytest.raises(CharstreamError, match="other_model"),
        ):
            list(events)


def test_a_refusal_is_told_at_once(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        for ask in (lambda: client.generate(length=0), lambda: list(client.stream(length=0))):
            with pytest.raises(CharstreamError, match=r"length: .*got 0") as caught:
                ask()
            assert caught.value.status == 422
            assert caught.value.code == "invalid_field"


def test_a_server_that_is_not_there_is_given_up_after_the_retries() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", retries=1, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            client.generate()
        with pytest.raises(httpx.ConnectError):
            list(client.stream())


def test_a_full_server_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    answers = [
        httpx.Response(
            503, headers={"Retry-After": "7"}, json={"code": "queue_full", "detail": ""}
        ),
        httpx.Response(200, json={"text": "a"}),
    ] * 2
    answers[3] = httpx.Response(
        200, text='id: 7-1\ndata: {"token": "a"}\n\nevent: done\ndata: {"seed": 7}\n\n'
    )
    transport = httpx.MockTransport(lambda request: answers.pop(0))
    told: list[tuple[str, float]] = []

    def tell(error: Exception, seconds: float) -> None:
        told.append((str(error), seconds))

    with Client(transport=transport, on_wait=tell) as client:
        assert client.generate() == {"text": "a"}
        assert list(client.stream()) == [{"token": "a"}]
    assert waited == [7.0, 7.0]
    assert told == [("queue_full:  (HTTP 503)", 7.0)] * 2


def test_a_key_may_hold_any_character() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.headers.raw)[b"Authorization"] == "Bearer é".encode()
        return httpx.Response(200, json={})

    with Client(api_key="é", transport=httpx.MockTransport(answer)) as client:
        client.info()


def test_as_a_program_it_prints_the_text(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        expected = client.generate(**FIELDS, top_k=None)["text"]
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
