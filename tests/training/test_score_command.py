"""python -m training score: the lines of a file or of standard input."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.api.test_score import score
from tests.conftest import CHARACTERS, ROOT
from tests.server import RunningServer
from training import text_lines
from training.command_line import run as main
from training.text_lines import read_lines

LINE_CHARACTERS = [character for character in CHARACTERS if character not in "\n\r"]
COMMAND = [sys.executable, "-m", "training", "score"]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Scores the lines of a content. Returns the status, the output, and the errors."""
    file = tmp_path / "lines.txt"

    def score_lines(content: str | bytes, *options: str) -> tuple[int, str, str]:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        status = main(["score", str(tiny_path), str(file), *options])
        return status, *capsys.readouterr()

    return score_lines


def results(run: Run, content: str, *options: str) -> list[dict[str, Any]]:
    status, output, _ = run(content, "--json", *options)
    assert status == 0
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("prime", ["", "abc"])
def test_the_command_gives_the_numbers_of_the_server(
    server: RunningServer, run: Run, prime: str
) -> None:
    lines = [CHARACTERS[n % 40 + 1] * (n % 7 + 1) + "abc" for n in range(300)]
    lines = [line.replace("\n", "") for line in lines]
    content = "".join(f"{line}\n" for line in lines)
    expected = score(server, texts=lines, prime=prime)["scores"]
    expected = [{"line": number, **each} for number, each in enumerate(expected, 1)]
    assert results(run, content, "--prime", prime) == expected
    shown = results(run, content, "--prime", prime, "--with-text")
    assert shown == [{**row, "text": line} for row, line in zip(expected, lines, strict=True)]
    rows = list(csv.DictReader(io.StringIO(run(content, "--prime", prime)[1])))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == expected


def test_an_empty_line_has_a_result_of_its_own(run: Run) -> None:
    empty = {"nats": 0, "bits": 0, "bits_per_character": None, "characters": 0}
    first, second, third = results(run, "\nabc\r\n\n")
    assert (first, third) == ({"line": 1, **empty}, {"line": 3, **empty})
    assert second["characters"] == 3


def test_unknown_characters_are_refused_left_out_or_replaced(run: Run) -> None:
    content = "abc\n\na\u2019b\n\u2019\nZa\n"
    status, output, error = run(content, "--json")
    assert status == 1
    assert len(output.splitlines()) == 2, "the lines before it have results"
    assert "line 3: characters that are not" in error
    assert "(U+2019) at position 1; use --unknown skip or fold, or --on-error empty" in error
    skipped = results(run, content, "--unknown", "skip")
    assert [row["characters"] for row in skipped] == [3, 0, 2, 0, 1]
    status, output, error = run(content, "--json", "--unknown", "fold")
    assert status == 1
    assert [json.loads(line)["characters"] for line in output.splitlines()] == [3, 0, 3, 1]
    assert "line 5: characters" in error
    assert "'Z' (U+005A) at position 0; use --unknown skip, or --on-error empty\n" in error


@settings(max_examples=50)
@given(text=st.text(st.sampled_from([*LINE_CHARACTERS, "\n"])), size=st.integers(1, 9))
def test_the_lines_do_not_depend_on_how_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "text.txt"
    file.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "_BLOCK_BYTES", size)
        lines = [line for block in read_lines(file) for line in block]
    assert lines == text.removesuffix("\n").split("\n") if text else lines == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc\nab\xff\n", "line 2 is not UTF-8: byte 0xff"),
        (b"abc\nab\xc3", "line 2 is not UTF-8: byte 0xc3"),
        (b"abc\n" + b"a" * 5000, "line 2 is longer than 1,000 bytes"),
    ],
)
def test_a_damaged_line_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setattr(text_lines, "_BLOCK_BYTES", 300)
    monkeypatch.setattr(text_lines, "_MAX_BYTES", 1000)
    status, _, error = run(content)
    assert status == 1
    assert f"lines.txt: {message}" in error


def test_a_missing_file_is_named(tiny_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tiny_path), "absent.txt"]) == 1
    shown = capsys.readouterr()
    assert "absent.txt: cannot be read: No such file" in shown.err
    assert shown.out == ""


def test_a_memory_learns_from_line_to_line(run: Run) -> None:
    lines = ["get the file", "put zz", "", "get the file", "get the file"]
    plain, memory = (results(run, "\n".join(lines), *flags) for flags in ([], ["--memory"]))
    assert len(memory) == len(lines)
    assert memory[0]["characters"] == 12
    assert memory[4]["nats"] < memory[3]["nats"] < 0.7 * plain[3]["nats"]
    again = results(run, "\n".join([*lines, "\n" * 300, *lines]), "--memory")
    assert again[: len(lines)] == memory


def test_an_empty_file_has_no_lines(run: Run) -> None:
    assert results(run, "") == []
    header = "line,nats,bits,bits_per_character,characters"
    assert run('a"b', "--with-text", "--unknown", "skip")[1].splitlines()[0] == f"{header},text"
    assert run("") == (0, "line,nats,bits,bits_per_character,characters\n", "")


def test_a_slow_pipe_gets_its_results_at_once(tiny_path: Path) -> None:
    """And an endless one needs no more memory: a result comes before the next line."""
    with subprocess.Popen(
        [*COMMAND, str(tiny_path), "-", "--json"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for length in (3, 1, 2):
            print("a" * length, file=process.stdin, flush=True)
            assert json.loads(process.stdout.readline())["characters"] == length
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize("before", [0, 1, 50, 299])
@pytest.mark.parametrize("end", ["", "\n", "\nabc"])
def test_the_longest_line_may_be_anywhere(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: int, end: str
) -> None:
    monkeypatch.setattr(text_lines, "_BLOCK_BYTES", 300)
    monkeypatch.setattr(text_lines, "_MAX_BYTES", 1000)
    statuses = [run("\n" * before + "a" * size + end)[0] for size in (1000, 1001)]
    assert statuses == [0, 1]


def test_a_text_in_csv_is_quoted(run: Run) -> None:
    content = 'a"b,\rc\n'
    status, output, _ = run(content, "--with-text", "--on-error", "empty")
    assert status == 0
    (row,) = csv.DictReader(io.StringIO(output, newline=""))
    assert row["text"] == content.removesuffix("\n")
