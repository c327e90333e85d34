"""Training trials: what is run, what is kept, and the table."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import training_result, training_trials
from benchmarks.training_trials import TRIALS
from tests.benchmarks.training_in_process import TEXT, TrainingInProcess
from training.config import TrainingConfig
from training.train_arguments import add_arguments, given


def test_trials_are_compared_and_their_results_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, trials = tmp_path / "book.txt", tmp_path / "trials.txt"
    text.write_text(TEXT)
    trials.write_text("# settings\nsmall: --hidden-size 4\n\nlarge: --hidden-size 16 --layers 1\n")
    training = TrainingInProcess()
    monkeypatch.setattr(training_result, "run_training", training)
    flags = ["--text", str(text), "--trials", str(trials), "--out", str(tmp_path / "runs")]
    for seeds in ("1", "2"):
        monkeypatch.setattr("sys.argv", ["training_trials", *flags, "--seeds", seeds])
        training_trials.main()
    shown = capsys.readouterr().out
    assert training.commands == ["train", "evaluate"] * 4  # seed 0 is not repeated
    rows = [line.split() for line in shown.splitlines() if "small" in line and "seed" not in line]
    assert [row[-6] for row in rows][-1] == "2"
    assert shown.index("seed-0: training") < shown.index("seed-1: training")


@pytest.mark.parametrize("flags", TRIALS.values())
def test_the_built_in_settings_are_valid(flags: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["--text", "book.txt", *flags.split()])
    TrainingConfig(**given(options, TrainingConfig))
