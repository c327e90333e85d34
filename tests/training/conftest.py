"""Fixtures of the tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.commands import SMALL, TEXT
from training.command_line import run as main


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file with a text to train on."""
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of a run."""
    return tmp_path / "run"


@pytest.fixture
def flags(text: Path, out: Path) -> list[str]:
    """The flags of a small run on the text: one epoch, unless others follow."""
    return ["--text", str(text), "--out", str(out), *SMALL, "--epochs", "1"]


@pytest.fixture
def train(flags: list[str]) -> Callable[..., int]:
    """Runs the train command with these flags and others."""
    return lambda *others: main(["train", *flags, *others])
