"""Fixtures for asynchronous tests, and for clients that hardly wait between attempts."""

from __future__ import annotations

import pytest

from clients.charstream_client import retry


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cap the waits between attempts at a hundredth of a second."""
    monkeypatch.setattr(retry, "MAX_BACKOFF", 0.01)
