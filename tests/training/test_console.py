"""The standard streams: closed, full, or without a character; and what may be shown on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.commands import read_until
from tests.training.test_main import PREVIOUS, SPY
from training.command_line import run as main
from training.console import printable


@pytest.fixture
def run(tiny_path: Path, text: Path, flags: list[str]) -> Callable[..., int]:
    """Runs a command on a copy of a checkpoint, with a text that has characters it lacks."""
    folder, book = text.parent, str(text)
    checkpoint = str(shutil.copy(tiny_path, folder))
    commands = {
        "evaluate": ["evaluate", checkpoint, "--text", book, "--json"],
        "score": ["score", checkpoint, book, "--unknown", "skip"],
        "cells": ["cells", checkpoint, "--text", book],
        "sample": ["sample", checkpoint, "--length", "5"],
        "corpus": ["corpus", "anna", "--from", book, "--out", str(folder / "anna.txt")],
        "tokenizer": ["tokenizer", checkpoint, "--out", str(folder / "tokenizer")],
        "train": ["train", *flags],
    }
    return lambda name, *flags: main([*commands[name], *flags])


@pytest.mark.parametrize("name", ["evaluate", "score", "sample", "train"])
def test_a_full_disk_is_one_line(
    run: Callable[..., int],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run(name) == 1
        assert sys.stdout is full
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "charstream: standard output: cannot be written: No space left on device"


@pytest.mark.parametrize(("name", "status"), [("score", 0), ("evaluate", 1)])
def test_a_reader_that_has_ended(
    run: Callable[..., int],
    name: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `head` does. The lines that it has read are results, so scoring has not failed."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert run(name) == status
    assert capsys.readouterr().err.count("standard output: cannot be written") == status


@pytest.mark.parametrize(
    ("name", "flags"), [("evaluate", []), ("score", []), ("sample", []), ("cells", ["--json"])]
)
def test_a_result_that_is_printed_needs_a_standard_output(
    run: Callable[..., int],
    name: str,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is None in a process that a shell has started with `>&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    assert run(name, *flags) == 1
    assert capsys.readouterr().err.splitlines() == [
        "charstream: standard output is closed, expected a terminal, a file or a pipe"
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cells", "tiny.safetensors"),
        ("corpus", "anna.txt"),
        ("tokenizer", "tokenizer/tokenizer.json"),
        ("train", "run/best.safetensors"),
    ],
)
def test_a_result_that_is_a_file_needs_no_standard_output(
    run: Callable[..., int],
    name: str,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (tmp_path / "tiny.safetensors").stat().st_ino  # of the copy, also later
    monkeypatch.setattr(sys, "stdout", None)
    assert run(name) == 0
    assert (tmp_path / file).stat().st_ino != before


def test_a_run_whose_output_is_lost_says_how_to_continue(flags: list[str]) -> None:
    train = ["-m", "training", "train", *flags]
    command = [sys.executable, *train, "--epochs", "500", "--validations", "500"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        read_until(process, "update ")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        error = process.stderr.read()
        assert process.wait(60) == 1
    assert error.endswith("; the state is saved, and --resume continues the run\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["evaluate", "score", "cells", "train"])
def test_a_command_without_standard_error_has_its_result(
    run: Callable[..., int],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as Python does
    assert run(name) == 0
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


def test_a_name_beside_a_character_that_is_escaped_keeps_its_bytes() -> None:
    """Python passes both to the handler as one run."""
    program = """
import sys
from training.console import print_any_character
print_any_character()
print("\\u00e9\\udcc3\\udca9\\u00e9")
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:surrogateescape"}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert result.stdout == b"\\xe9\xc3\xa9\\xe9\n"


@given(st.text(alphabet=st.characters(codec=None)))
def test_only_characters_without_a_glyph_are_replaced(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    shown.encode()  # no halves of surrogates
    for before, after in zip(text, shown, strict=True):
        assert after == before or after == "\ufffd"
        assert after == before or not (before.isprintable() or before in "\n\t")
    assert not any(c < " " and c not in "\n\t" for c in shown)
    assert "\x1b" not in shown
    assert "\x9b" not in shown
