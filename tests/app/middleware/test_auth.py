"""API keys, from settings and from a file, and the rate per key."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.middleware.auth import Auth
from app.middleware.request_log import RequestRecord
from app.settings import Settings
from tests.http_request import http_request
from tests.server import RunningServer, running_server

RATE = 12
FIRST, SECOND, THIRD, FOURTH = (
    {"Authorization": f"Bearer {key}"} for key in ("first", "zweiter", "third", "fourth")
)


@pytest.fixture(scope="module")
def locked(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("# users\nzweiter\n\nthird\nfourth\n")
    with running_server(
        tiny_path,
        api_keys="first",
        api_keys_file=str(keys),
        admin_keys="operator",
        rate_per_minute=str(RATE),
    ) as server:
        yield server


def test_each_key_has_its_own_rate(locked: RunningServer) -> None:
    with locked.client() as client:
        responses = [client.get("/info", headers=FIRST) for _ in range(RATE + 3)]
        assert [response.status_code for response in responses[:RATE]] == [200] * RATE
        refused = responses[-1]
        assert refused.status_code == 429
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60 / RATE
        assert client.get("/info", headers=SECOND).status_code == 200, "a key of the file"
        assert client.get("/info").status_code == 401
        assert client.get("/health/ready", headers=FIRST).status_code == 200


def test_a_key_learns_nothing_of_what_another_one_has_sent(locked: RunningServer) -> None:
    body = {"prime": "abcdefgh", "length": 30}
    with locked.client() as client:
        answers = [
            client.post("/generate", json=body, headers=key) for key in (THIRD, THIRD, FOURTH)
        ]
    assert [each.json()["usage"]["cached_characters"] for each in answers] == [0, 7, 0]


def test_clients_are_told_apart_by_their_keys_or_else_by_their_addresses() -> None:
    def client(auth: Auth, key: str, address: str) -> Hashable:
        headers = [(b"authorization", f"Bearer {key}".encode())]
        request = http_request(headers=headers, client=(address, 1234))
        asyncio.run(auth.check_user(request))
        return RequestRecord.of(request.scope).lease.client

    by_key, by_address = Auth(["first", "second"]), Auth([])
    assert client(by_key, "first", "10.0.0.1") == client(by_key, "first", "10.0.0.2")
    assert client(by_key, "first", "10.0.0.1") != client(by_key, "second", "10.0.0.1")
    assert client(by_address, "first", "10.0.0.1") == client(by_address, "second", "10.0.0.1")
    assert client(by_address, "first", "10.0.0.1") != client(by_address, "first", "10.0.0.2")


def test_only_an_operator_can_reload(locked: RunningServer) -> None:
    with locked.client() as client:
        assert client.post("/reload").status_code == 401
        refused = client.post("/reload", headers=SECOND)
        assert refused.status_code == 401
        assert "an admin key (CHARSTREAM_ADMIN_KEYS) is required" in refused.json()["detail"]
        operator = {"Authorization": "Bearer operator"}
        assert client.post("/reload", headers=operator).json()["changed"] is False
        assert client.get("/info", headers=operator).status_code == 401


@pytest.mark.parametrize("content", [None, "", "\n# none\n", b"\xff\xfe"])
def test_a_key_file_without_keys_prevents_the_start(
    tmp_path: Path, content: str | bytes | None
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=r"CHARSTREAM_API_KEYS_FILE: .*keys"):
        Settings(api_keys_file=path).all_api_keys()


def test_endpoints_require_a_key_if_keys_are_set(tiny_path: Path) -> None:
    with running_server(tiny_path, api_keys="first,second") as locked, locked.client() as client:
        for path in ("/", "/openapi.json", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
        for header in ({}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first"}):
            for response in (
                client.post("/generate", json={"length": 3}, headers=header),
                client.get("/generate", headers=header),
                client.get("/info", headers=header),
            ):
                assert response.status_code == 401
                assert response.json()["code"] == "unauthorized"
                assert response.headers["WWW-Authenticate"] == "Bearer"
        for key in ("first", "second"):
            header = {"Authorization": f"Bearer {key}"}
            assert client.post("/generate", json={"length": 3}, headers=header).status_code == 200


@pytest.mark.parametrize("key", ["clé-à", "Å", "plain"])
def test_a_key_may_have_any_characters(key: str, tiny_path: Path, tmp_path: Path) -> None:
    """UTF-8 bytes such as A0 and 85 are spaces in latin-1, and belong to the key."""
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf" + key.encode() + b"\n  # a comment\n")
    settings = {"api_keys_file": str(file)}
    with running_server(tiny_path, **settings) as locked, locked.client() as client:
        headers = {b"Authorization": b"Bearer " + key.encode()}
        assert client.get("/info", headers=headers).status_code == 200
        for other in ("other", "# a comment"):
            headers = {b"Authorization": f"Bearer {other}".encode()}
            assert client.get("/info", headers=headers).status_code == 401
