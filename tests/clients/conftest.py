"""A fixture for clients that wait hardly at all between attempts."""

from __future__ import annotations

import pytest

from clients.charstream_client import retry


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cap the waits between attempts at a hundredth of a second."""
    monkeypatch.setattr(retry, "MAX_BACKOFF", 0.01)
