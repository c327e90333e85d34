"""Fixtures of the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.commands import TEXT


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file with a text to train on."""
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path
