"""The train command: what it writes, and runs that end early, resume, or share their work."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from tests.training.commands import SMALL, TEXT, read_until, run_training
from training import train_command
from training.cell_catalogue import add_catalogue
from training.command_line import run as main
from training.interrupt import INTERRUPTED
from training.results import serve_line

Train = Callable[..., int]


def test_a_run_without_clipping_is_resumed_also_with_a_damaged_record(
    text: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--epochs", "0.01"]
    assert main([*train, "--clip", "inf"]) == 0
    assert "1 update of 4 x 20 characters" in capsys.readouterr().out
    assert load_checkpoint(out / "best.safetensors").training["settings"]["clip"] is None
    assert "--clip inf" in (out / "model-card.md").read_text()
    metrics = out / "metrics.jsonl"
    before = metrics.read_bytes()
    huge = re.sub(rb'("training_loss": )[^,]+', rb"\g<1>1e308", before)
    damaged = b'{"step": "\xff"}\n{"step": 1}\n' + b"[" * 100_000
    metrics.write_bytes(huge + before + damaged)
    assert main([*train, "--resume"]) == 0
    assert metrics.read_bytes() == before
    (out / "best.safetensors").unlink()
    capsys.readouterr()
    assert main([*train, "--resume"]) == 1
    shown = capsys.readouterr()
    assert "best.safetensors does not exist: start a new run with another --out" in shown.err
    assert "To serve the model" not in shown.out
    metrics.unlink()
    metrics.mkdir()
    assert main([*train, "--resume"]) == 1
    assert "metrics.jsonl: cannot be read: Is a directory" in capsys.readouterr().err


def test_what_comes_of_a_run_can_be_looked_at(train: Train, out: Path) -> None:
    assert train("--epochs", "2", "--validations", "4", "--tensorboard") == 0
    card = (out / "model-card.md").read_text()
    best = load_checkpoint(out / "best.safetensors")
    assert f"{best.training['validation_loss']:.4f} nats" in card
    assert best.hash in card
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 4
    assert records[0]["learning_rate"] > records[-1]["learning_rate"] > 0
    assert list((out / "tensorboard").iterdir())


def test_results_that_a_stop_has_prevented_are_written_by_the_resumed_run(
    train: Train, out: Path
) -> None:
    assert train() == 0
    *_, sample = sorted((out / "samples").iterdir())
    results = [out / "report.html", out / "model-card.md", out / "curves.svg", sample]
    written = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()
    assert train("--resume") == 0
    assert [path.read_bytes() for path in results] == written


def test_a_model_without_its_state_is_not_replaced(
    train: Train, out: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = out / "best.safetensors"
    save_checkpoint(load_checkpoint(tiny_path), model)
    before = model.read_bytes()
    assert train() == 1
    assert "a new run would replace it: choose another --out" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_a_best_checkpoint_that_cannot_be_read_is_not_called_a_full_disk(
    train: Train, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    best = out / "best.safetensors"
    best.unlink()
    best.mkdir()
    assert train("--resume") == 1
    error = capsys.readouterr().err
    assert f"{best}: cannot be read" in error
    assert "make room" not in error


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such a name of a file")
def test_a_text_whose_name_is_not_utf8_is_trained_on(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    latin1 = text.rename(tmp_path / os.fsdecode("café.txt".encode("latin-1")))
    assert main(["train", "--text", latin1.name, *SMALL, "--epochs", "1"]) == 0
    card = tmp_path / "runs" / latin1.stem / "model-card.md"
    assert card.read_text(encoding="utf-8").startswith("# caf\N{REPLACEMENT CHARACTER}.txt\n")


def test_a_run_on_the_working_directory_is_named_after_it(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(text.parent)
    assert main(["train", "--text", ".", *SMALL, "--epochs", "1"]) == 0
    assert (text.parent / "runs" / text.parent.name / "best.safetensors").exists()


def test_a_run_is_planned_to_end_in_time(text: Path, out: Path) -> None:
    began = time.monotonic()
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--minutes", "0.25"]
    assert main(train) == 0
    assert time.monotonic() - began < 33  # validations are slow on a busy machine
    record = load_checkpoint(out / "best.safetensors").training
    assert record["epoch"] > 1
    state = (out / "state.pt").read_bytes()
    assert main([*train, "--resume"]) == 0  # the run has ended
    assert (out / "state.pt").read_bytes() == state


def test_a_checkpoint_is_tuned_to_another_text(
    train: Train, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    first = out / "best.safetensors"
    other = tmp_path / "other.txt"
    other.write_text(TEXT.replace("happy", "häppy", 3))
    tune = ["train", "--text", str(other), "--out", str(tmp_path / "tuned"), "--epochs", "1"]
    assert main([*tune, "--init-from", str(first), *SMALL[2:]]) == 0
    shown = capsys.readouterr().out
    assert "is left out, 3 times in total: 'ä' (3)" in shown
    tuned = load_checkpoint(tmp_path / "tuned" / "best.safetensors")
    assert tuned.vocabulary == load_checkpoint(first).vocabulary
    assert tuned.training["validation_loss"] < load_checkpoint(first).training["validation_loss"]


def test_a_run_killed_for_real_ends_as_one_that_was_never_stopped(
    text: Path, tmp_path: Path
) -> None:
    settings = ["--text", str(text), *SMALL, "--epochs", "3", "--validations", "8"]
    assert main(["train", *settings, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "killed"
    killed = run_training(*settings, "--out", str(out))
    read_until(killed, "update ", 3)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert main(["train", *settings, "--out", str(out), "--resume"]) == 0
    expected = torch.load(tmp_path / "whole" / "state.pt", weights_only=True)
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["step"] == expected["step"]
    for part in ("network", "average"):
        for name, tensor in expected[part].items():
            assert torch.equal(state[part][name], tensor), name


# Muon magnifies differences of rounding, so losses soon differ.
@pytest.mark.parametrize(
    ("epochs", "more"), [("2", []), ("1", ["--optimizer", "muon", "--distill-from", "TEACHER"])]
)
def test_two_processes_train_as_one(
    text: Path, train: Train, out: Path, tmp_path: Path, epochs: str, more: list[str]
) -> None:
    if "TEACHER" in more:
        assert train() == 0
    settings = ["--text", str(text), *SMALL, "--epochs", epochs, "--validations", epochs]
    settings += ["--dropout", "0", "--weight-dropout", "0", "--precision", "fp32"]
    settings += [flag.replace("TEACHER", f"{out}/best.safetensors") for flag in more]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two = run_training(*settings, "--out", str(tmp_path / "two"), launcher=torchrun)
    assert main(["train", *settings, "--out", str(tmp_path / "one")]) == 0
    shown = two.communicate(timeout=180)[0]
    assert two.returncode == 0, shown
    assert "2 processes" in shown
    losses = [
        [json.loads(line)["validation_loss"] for line in path.read_text().splitlines()]
        for path in (tmp_path / "one" / "metrics.jsonl", tmp_path / "two" / "metrics.jsonl")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    state = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    assert state["hidden"].shape == (2, 4, 16)  # of both processes


@pytest.mark.usefixtures("heeded_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_with_a_saved_state_and_says_how_to_continue(
    flags: list[str], out: Path, number: signal.Signals
) -> None:
    process = run_training(*flags, "--epochs", "5000", "--validations", "5000")
    read_until(process, "update ")
    process.send_signal(number)
    if number == signal.SIGHUP:  # the shell sends it, and then the system
        process.send_signal(number)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert rest.index("Stopping, and saving the state") < rest.index("the state is saved")
    assert "--resume" in rest
    assert "Traceback" not in rest
    assert torch.load(out / "state.pt", weights_only=True)["step"] > 0


@pytest.mark.parametrize("file", ["best.safetensors", "samples/step-", "report.html"])
def test_ctrl_c_at_a_validation_saves_the_state(
    train: Train,
    out: Path,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The signal comes when a file is about to be replaced for the first time."""
    real = os.replace

    def replace(source: str, target: str) -> None:
        if file in str(target):
            monkeypatch.undo()
            signal.raise_signal(signal.SIGINT)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert train("--epochs", "500", "--validations", "500") == INTERRUPTED
    shown = capfd.readouterr()
    announced = "Stopping, and saving the state (at once if you press Ctrl-C again) ..."
    assert shown.err.splitlines() == ["", announced]
    assert "the state is saved" in shown.out
    assert (out / "state.pt").exists()
    assert not list(out.rglob(".*"))


def test_ctrl_c_while_finding_cells_keeps_the_result(
    train: Train, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        add_catalogue(*arguments)

    best = out / "best.safetensors"
    monkeypatch.setattr(train_command, "add_catalogue", interrupted)
    assert train() == INTERRUPTED
    shown = capsys.readouterr().out
    assert "not the search for cells" in shown
    assert shown.splitlines()[-1] == serve_line(best)
    assert load_checkpoint(best).cells == ()
    monkeypatch.undo()
    assert train("--resume") == 0
    assert load_checkpoint(best).cells
