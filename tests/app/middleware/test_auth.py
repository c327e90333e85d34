"""Keys, rates and deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.middleware.rate_limit import RateLimit
from app.settings import Settings
from tests.events import parse_events
from tests.server import RunningServer, running_server

RATE = 12
FIRST, SECOND = ({"Authorization": f"Bearer {key}"} for key in ("first", "zweiter"))


@pytest.fixture(scope="module")
def locked(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("# those who may\nzweiter\n\n")
    with running_server(
        tiny_path,
        api_keys="first",
        api_keys_file=str(keys),
        admin_keys="operator",
        rate_per_minute=str(RATE),
        deadline_seconds="0.5",
        max_length="10000000",
    ) as server:
        yield server


def test_a_key_has_its_rate_and_others_have_theirs(locked: RunningServer) -> None:
    with locked.client() as client:
        answers = [client.get("/info", headers=FIRST) for _ in range(RATE + 3)]
        assert [answer.status_code for answer in answers[:RATE]] == [200] * RATE
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60 / RATE
        assert client.get("/info", headers=SECOND).status_code == 200, "a key of the file"
        assert client.get("/info").status_code == 401
        assert client.get("/health/ready", headers=FIRST).status_code == 200


def test_a_text_that_takes_too_long_ends_in_an_error(locked: RunningServer) -> None:
    ask = {"length": 10_000_000}
    with locked.client() as client:
        whole = client.post("/generate", json=ask, headers=SECOND)
        assert whole.status_code == 504
        assert whole.json()["code"] == "deadline_exceeded"
        with client.stream("GET", "/generate", params=ask, headers=SECOND) as stream:
            events = list(parse_events(stream.iter_lines()))
        assert events[-1].name == "error"
        assert events[-1].data["code"] == "deadline_exceeded"
        assert len(events) > 10
    assert locked.gauge("charstream_texts_total", reason="error") == 2


def test_only_an_operator_reloads(locked: RunningServer) -> None:
    with locked.client() as client:
        assert client.post("/reload").status_code == 401
        assert client.post("/reload", headers=SECOND).status_code == 401
        operator = {"Authorization": "Bearer operator"}
        assert client.post("/reload", headers=operator).json()["changed"] is False
        assert client.get("/info", headers=operator).status_code == 401


def test_without_keys_nobody_reloads_over_http(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post("/reload")
    assert answer.status_code == 403
    assert "CHARSTREAM_ADMIN_KEYS" in answer.json()["detail"]


@pytest.mark.parametrize("content", [None, "", "\n# none\n", b"\xff\xfe"])
def test_a_file_without_keys_opens_nothing(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=r"CHARSTREAM_API_KEYS_FILE: .*keys"):
        Settings(api_keys_file=path).all_api_keys()


def test_a_minutes_worth_may_come_at_once_and_then_one_by_one() -> None:
    now = 0.0
    limit = RateLimit(6, lambda: now)
    assert [limit.take("a") for _ in range(6)] == [0] * 6
    assert limit.take("a") == pytest.approx(10)
    assert limit.take("b") == 0
    now = 9.0
    assert limit.take("a") == pytest.approx(1)
    now = 10.0
    assert limit.take("a") == 0
    assert limit.take("a") == pytest.approx(10)
    now = 10_000.0
    assert [limit.take("a") for _ in range(6)] == [0] * 6
    assert limit.take("a") > 0


def test_clients_beyond_memory_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.middleware.rate_limit._MOST_CLIENTS", 100)
    limit = RateLimit(1)
    for client in range(1000):
        limit.take(client)
    assert len(limit._buckets) == 100
