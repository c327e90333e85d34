"""A client that does not wait between attempts."""

from __future__ import annotations

import pytest

from clients import charstream_client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits hardly at all between attempts."""
    monkeypatch.setattr(charstream_client, "_MAX_BACKOFF", 0.01)
