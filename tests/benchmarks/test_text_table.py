"""The table of texts: its figures, what is run, and what is kept."""

from __future__ import annotations

import bz2
import lzma
import math
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import text_table, training_result, training_trials
from benchmarks.text_table import markdown_table, text_figures
from tests.benchmarks.training_in_process import TEXT, TrainingInProcess
from training.run_lock import locked

SMALL = ["--", "--hidden-size", "4", "--layers", "1"]


def test_texts_are_trained_once_and_their_results_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "english.txt", tmp_path / "русский.txt"]
    paths[0].write_text(TEXT)
    paths[1].write_text(TEXT.replace("green", "зелёных"))
    training = TrainingInProcess()
    monkeypatch.setattr(training_result, "run_training", training)
    flags = [*map(str, paths), "--minutes", "5", "--out", str(tmp_path / "runs"), *SMALL]
    tables = []
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["text_table", *flags])
        text_table.main()
        tables.append(capsys.readouterr().out[-len((tmp_path / "runs/table.md").read_text()) - 1 :])
    assert training.commands == ["train", "evaluate"] * 2  # the second table has the same results
    assert tables[0] == tables[1]
    rows = [line.strip("| ").split(" | ") for line in tables[1].split("\n") if "|" in line]
    assert rows[0][-1] == "model, 5 minutes"
    assert [row[0] for row in rows[2:]] == ["english", "русский"]
    assert all(0 < float(row[-1]) < 10 for row in rows[2:])


@pytest.mark.parametrize("change", ["text", "flags"])
def test_the_result_of_another_run_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(training_result, "run_training", TrainingInProcess())
    path, folder = tmp_path / "text.txt", tmp_path / "run"
    path.write_text(TEXT)
    training_result.result_of(path, folder, "5", SMALL[1:])
    if change == "text":
        path.write_text(TEXT.replace("green", "brown"))
    flags = ["--seed", "1"] if change == "flags" else []
    state = (folder / "state.pt").read_bytes()
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            training_result.result_of(path, folder, "5", [*SMALL[1:], *flags])
    assert (folder / "state.pt").read_bytes() == state


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of text.txt that ended with Ctrl-C, and an old file in the folder."""
    folder, path, training = tmp_path / "run", tmp_path / "text.txt", TrainingInProcess()
    path.write_text(TEXT)

    def interrupt(*arguments: str) -> str:
        training(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_result, "run_training", interrupt)
    with pytest.raises(KeyboardInterrupt):
        training_result.result_of(path, folder, "5", SMALL[1:])
    assert (folder / "state.pt").exists()
    (folder / "old").touch()
    monkeypatch.setattr(training_result, "run_training", training)
    return folder


def test_an_interrupted_run_begins_again(interrupted: Path) -> None:
    """Resumed, it would train less: each start of the command takes some of the time."""
    text = interrupted.parent / "text.txt"
    result = training_result.result_of(text, interrupted, "5", SMALL[1:])
    assert not (interrupted / "old").exists()
    assert result.epochs == 1
    assert training_result.result_of(text, interrupted, "5", SMALL[1:]) == result


def test_an_interrupted_removal_is_repeated(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = interrupted.parent / "text.txt"

    def remove_a_part(folder: Path) -> None:
        for path in sorted(folder.iterdir())[:-1]:
            if path.is_file():
                path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", remove_a_part)
        with pytest.raises(KeyboardInterrupt):
            training_result.result_of(text, interrupted, "5", SMALL[1:])
    assert training_result.result_of(text, interrupted, "5", SMALL[1:]).epochs == 1
    assert {path.name for path in interrupted.parent.iterdir()} == {"run", "text.txt"}


def test_an_interrupted_evaluation_does_not_repeat_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, training, commands = tmp_path / "text.txt", TrainingInProcess(), []
    path.write_text(TEXT)

    def interrupt_first_evaluation(command: str, *arguments: str) -> str:
        commands.append(command)
        if command == "evaluate" and commands.count(command) == 1:
            raise KeyboardInterrupt
        return training(command, *arguments)

    monkeypatch.setattr(training_result, "run_training", interrupt_first_evaluation)
    with pytest.raises(KeyboardInterrupt):
        training_result.result_of(path, tmp_path / "run", "5", SMALL[1:])
    assert training_result.result_of(path, tmp_path / "run", "5", SMALL[1:]).epochs == 1
    assert commands == ["train", "evaluate", "evaluate"]


def test_a_run_of_another_process_is_not_removed(interrupted: Path) -> None:
    with locked(interrupted), pytest.raises(SystemExit, match="in use by another training run"):
        training_result.result_of(interrupted.parent / "text.txt", interrupted, "5", SMALL[1:])
    assert (interrupted / "old").exists()


def test_a_run_that_fails_leaves_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.txt"
    path.write_text("too short\n")
    out = str(tmp_path / "runs")
    monkeypatch.setattr("sys.argv", ["text_table", str(path), "--minutes", "5", "--out", out])
    text_table.main()
    shown = capsys.readouterr().out
    assert "short, 5 minutes: failed with exit status 1" in shown
    assert shown.splitlines()[-2].endswith("| - |")


@pytest.mark.parametrize(
    ("program", "flags"), [(text_table, []), (training_trials, ["--seeds", "1", "--text"])]
)
def test_a_missing_text_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: ModuleType, flags: list[str]
) -> None:
    absent, out = str(tmp_path / "absent.txt"), str(tmp_path / "runs")
    monkeypatch.setattr("sys.argv", ["program", *flags, absent, "--out", out])
    with pytest.raises(SystemExit, match=r"^\S*absent.txt: cannot be read: No such file"):
        program.main()


def test_compressors_are_measured_in_bits_per_character(tmp_path: Path) -> None:
    path = tmp_path / "greek.txt"
    path.write_text("μῆνιν ἄειδε θεά\r\n" * 20, newline="")
    figures = text_figures(path)
    content = ("μῆνιν ἄειδε θεά\n" * 20).encode()
    assert (figures.name, figures.characters, figures.distinct) == ("greek", 320, 11)
    assert figures.size == len(content)
    assert figures.whole["bz2"] == 8 * len(bz2.compress(content, 9)) / 320
    assert figures.whole["xz"] == 8 * len(lzma.compress(content, preset=9)) / 320
    first = ("μῆνιν ἄειδε θεά\n" * 18).encode()
    saved = len(bz2.compress(content, 9)) - len(bz2.compress(first, 9))
    assert figures.last_tenth["bz2"] == 8 * saved / 32


def test_a_missing_result_is_a_dash() -> None:
    figures = text_table.TextFigures("a", 1234, 1000, 9, {"bz2": 2.5, "xz": 3}, {"bz2": 1, "xz": 1})
    row = markdown_table([figures], {("a", 2): 1.23456, ("a", 5): math.nan}, [2, 5, 20])
    assert row.splitlines()[2] == (
        "| a | 1,234 | 1,000 | 9 | 1.000 | 1.000 | 2.500 | 3.000 | 1.235 | - | - |"
    )
