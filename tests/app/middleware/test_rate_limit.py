"""Requests per minute and client."""

from __future__ import annotations

import pytest

from app.middleware.rate_limit import RateLimit


def test_a_burst_may_use_the_requests_of_one_minute() -> None:
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


def test_the_number_of_remembered_clients_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.middleware.rate_limit._MAX_CLIENTS", 100)
    limit = RateLimit(1)
    for client in range(1000):
        limit.take(client)
    assert len(limit._buckets) == 100
