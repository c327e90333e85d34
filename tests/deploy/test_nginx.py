"""The nginx.conf that ships, run by a real nginx."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from clients.charstream_client import Client, GenerateParams
from tests.conftest import SHIPPED
from tests.deploy.nginx import NGINX, held_replica, running_nginx
from tests.server import free_port, running_server
from tests.waiting import wait_until

SLOW = {"precision": "fp32"}  # so that a text is not made in a blink
LONG = b'POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{"length": 1000000}'

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")


def test_texts_outlive_their_replica_without_a_lost_character(tmp_path: Path) -> None:
    fields: list[GenerateParams] = [{"prime": "abc", "length": 500, "seed": n} for n in (1, 2)]
    with ExitStack() as stack:
        servers = [stack.enter_context(running_server(SHIPPED, **SLOW)) for _ in fields]
        nginx = stack.enter_context(running_nginx(tmp_path, [port_of(s.url) for s in servers]))
        direct = stack.enter_context(Client(servers[1].url, trust_env=False))
        expected = [direct.generate(**each)["text"] for each in fields]

        http = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        long: GenerateParams = {"prime": "abc", "length": 500, "seed": 3}
        whole = [pool.submit(http.post, f"{nginx.url}/generate", json=long) for _ in range(2)]
        client = stack.enter_context(Client(nginx.url, trust_env=False))
        streams = [iter(client.stream(**each)) for each in fields]
        texts = [next(stream)["token"] for stream in streams]  # one on each replica
        servers[0].process.kill()
        for number, stream in enumerate(streams):
            texts[number] += "".join(event["token"] for event in stream)
        assert texts == expected
        assert {answer.result().json()["text"] for answer in whole} == {
            direct.generate(**long)["text"]
        }
        for broken in ("upstream", "response header from upstream"):
            message = f"prematurely closed connection while reading {broken}"
            assert nginx.log.read_text().count(message) == 1


def test_each_event_passes_before_the_next_is_made(tmp_path: Path) -> None:
    with (
        held_replica() as replica,
        running_nginx(tmp_path, [replica.port]) as nginx,
        httpx.stream(
            "POST", f"{nginx.url}/generate", json={}, timeout=10, trust_env=False
        ) as answer,
        replica.streams.get(timeout=10) as stream,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        lines = answer.iter_lines()
        for number in range(1, 50):
            stream.sendall(f"id: 7-{number}\n\n".encode())
            assert next(lines) == f"id: 7-{number}"
            assert next(lines) == ""
    head = replica.heads[0].lower()
    assert "post /generate http/1.1\r\n" in head
    assert "connection: close" not in head
    assert "x-request-id: " in head


def test_a_new_stream_goes_to_the_replica_with_the_fewest(tmp_path: Path) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(held_replica()) for _ in range(3)]
        nginx = stack.enter_context(running_nginx(tmp_path, [r.port for r in replicas]))
        client = stack.enter_context(httpx.Client(timeout=10, trust_env=False))

        def open_stream() -> httpx.Response:
            return stack.enter_context(client.stream("GET", f"{nginx.url}/generate"))

        answers = [open_stream() for _ in range(9)]
        assert [len(replica.heads) for replica in replicas] == [3, 3, 3]
        free = replicas[1]
        for answer in answers:
            if answer.headers["Replica"] == str(free.port):
                free.streams.get(timeout=10).close()
                list(answer.iter_raw())  # to its end: then nginx knows of it
        assert {open_stream().headers["Replica"] for _ in range(3)} == {str(free.port)}


def test_a_request_that_a_dead_replica_refuses_is_made_to_another(
    tiny_path: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"port": str(port), "max_streams": "1", "max_queue": "0", "max_length": "10000000"}
    settings |= SLOW  # or the text is made faster than it is read, and gives its slot back
    with (
        running_server(tiny_path, **settings) as server,
        refusing_port() as dead_one,
        refusing_port() as dead_two,
        running_nginx(tmp_path, [dead_one, port, dead_two]) as nginx,
        httpx.Client(base_url=nginx.url, timeout=30, trust_env=False) as client,
    ):
        for _ in range(6):
            assert client.post("/generate", json={"length": 5}).status_code == 200

        long_prime = {"prime": "a" * 60_000, "length": "5"}
        assert client.get("/generate", params=long_prime).status_code == 200

        for target, header in (("a" * 80_000, "a"), ("a", "a" * 80_000)):
            with closing(HTTPConnection(nginx.url.removeprefix("http://"), timeout=30)) as raw:
                raw.request("GET", f"/generate?prime={target}", headers={"X-Long": header})
                refused = raw.getresponse()
                assert (refused.status, json.load(refused)["code"]) == (431, "head_too_large")

        too_large = client.post("/generate", content=b" " * 3_000_000)
        assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")

        shutil.rmtree(bodies := next(tmp_path.glob("*body*")))  # as if there were no space
        no_space = client.post("/generate", content=b" " * 100_000)
        assert (no_space.status_code, no_space.json()["code"]) == (503, "proxy_full")
        assert no_space.headers["Retry-After"] == "1"
        bodies.mkdir()

        active = "charstream_streams_active"
        wait_until(lambda: server.gauge(active) == 0, 20)
        with socket.create_connection(("127.0.0.1", port)) as busy:
            busy.sendall(LONG)
            wait_until(lambda: server.gauge(active) == 1, 20)  # else a request below takes it
            for _ in range(6):  # full is not dead: nothing is left out for it
                full = client.post("/generate", json={"length": 5})
                assert (full.status_code, full.json()["code"]) == (503, "queue_full")
                assert int(full.headers["Retry-After"]) >= 1

        server.process.kill()
        server.process.wait()
        dead = client.post("/generate", json={"length": 5})
        assert (dead.status_code, dead.json()["code"]) == (503, "unreachable")
        assert int(dead.headers["Retry-After"]) >= 1
        dead = client.post("/v1/completions", json={})
        assert (dead.status_code, dead.json()["error"]["code"]) == (503, "unreachable")


def test_each_client_has_a_rate_limit_of_its_own(tiny_path: Path, tmp_path: Path) -> None:
    with (
        running_server(
            tiny_path, rate_per_minute="1"
        ) as server,  # it trusts 127.0.0.1, as nginx is
        running_nginx(tmp_path, [port_of(server.url)]) as nginx,
        client_from("127.0.0.2", nginx.url) as first,
        client_from("127.0.0.3", nginx.url) as second,
    ):
        assert first.post("/generate", json={"length": 1}).status_code == 200
        assert first.post("/generate", json={"length": 1}).status_code == 429
        invented = {"X-Forwarded-For": "127.0.0.4"}
        assert first.post("/generate", json={"length": 1}, headers=invented).status_code == 429
        assert second.post("/generate", json={"length": 1}).status_code == 200


def client_from(address: str, url: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=url, transport=transport, trust_env=False)


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that nobody else can take meanwhile, and that answers nothing."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
