"""A fixture for clients that wait hardly at all between attempts."""

from __future__ import annotations

import pytest

from clients import charstream_client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cap the waits between attempts at a hundredth of a second."""
    monkeypatch.setattr(charstream_client, "_MAX_BACKOFF", 0.01)
