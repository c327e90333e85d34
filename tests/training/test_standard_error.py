"""A command whose standard error is closed, as a shell does with `2>&-`, works without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.test_main import PREVIOUS, SPY
from tests.training.test_standard_output import run_command
from training.__main__ import main


@pytest.mark.parametrize("name", ["evaluate", "score", "cells", "train"])
def test_a_command_without_standard_error_has_its_result(
    name: str,
    tiny_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as Python does
    assert run_command(name, tiny_path, tmp_path) == 0
    output = capsys.readouterr().out
    assert output
    if name == "evaluate":
        assert json.loads(output)["left_out"] > 0  # of which a message would inform


def test_an_error_does_not_become_a_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["sample", "absent.safetensors"]) == 1
    assert capsys.readouterr().out == ""


def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    """A message of a signal handler, which writes to number 2, would end up in the file."""
    result = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", SPY, "train", "--text", "x"],
        stdout=subprocess.PIPE,
        text=True,
        env=PREVIOUS | {"AT_TORCH": "print(os.open(os.devnull, os.O_RDONLY)); exit()"},
    )
    assert int(result.stdout) > 2
