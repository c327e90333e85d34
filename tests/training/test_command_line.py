from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.checkpoint import load_checkpoint
from tests.model.test_tutorial import tutorial_file
from training.__main__ import main

TEXT = "All happy families are alike; every unhappy family is unhappy in its own way.\n" * 120
SMALL = ["--hidden-size", "16", "--steps", "20", "--streams", "4"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


def test_a_text_becomes_a_checkpoint_that_evaluates_and_writes(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--epochs", "2"]
    assert main(train) == 0
    shown = capsys.readouterr().out
    assert "validation" in shown
    assert "sample" in shown
    assert len(list((out / "samples").iterdir())) == shown.count("epoch ") - 1
    best = str(out / "best.safetensors")
    assert main(["evaluate", best, "--text", str(text), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["characters"] == len(TEXT) // 10 - 1
    assert 0 < figures["nats_per_character"] < 4
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_character"] * 1.442695)
    assert main(["evaluate", best, "--text", str(text)]) == 0
    assert "nats per character" in capsys.readouterr().out
    samples = []
    for _ in range(2):
        assert main(["sample", best, "--prime", "All", "--length", "50", "--seed", "3"]) == 0
        samples.append(capsys.readouterr().out)
    assert samples[0] == samples[1]
    assert samples[0].startswith("All")
    assert len(samples[0]) == 54


def test_a_resumed_run_takes_over_its_settings(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--text", str(text), "--out", str(tmp_path / "run")]
    assert main([*train, *SMALL, "--epochs", "1"]) == 0
    assert main([*train, "--resume"]) == 0
    assert "resumed at" in capsys.readouterr().out


def test_the_tutorials_checkpoint_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = tutorial_file(tmp_path / "rnn.net")
    assert main(["import", str(path), "--out", str(tmp_path / "ours.safetensors")]) == 0
    assert "2 x 16, 5 characters" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "ours.safetensors").config.hidden_size == 16


def test_a_local_corpus_is_brought_in(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "anna.txt"
    assert main(["corpus", "anna", "--from", str(text), "--out", str(out)]) == 0
    assert out.read_text() == TEXT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--text", "absent.txt", "--out", "run"], "absent.txt: cannot be read"),
        (["train", "--text", "BOOK", "--out", "run", "--dropout", "1"], "dropout must be"),
        (["train", "--text", "BOOK", "--out", "run", "--epochs", "0"], "epochs must be above 0"),
        (["train", "--text", "BOOK", "--out", "run", "--resume"], "no training run to resume"),
        (["train", "--text", "BOOK", "--out", "run", "--device", "toaster"], "'toaster'"),
        (["evaluate", "absent.safetensors", "--text", "BOOK"], "no such file"),
        (["sample", "TINY", "--prime", "Z9"], "U\\+005A"),
        (["sample", "TINY", "--length", "0"], "--length must be at least 1"),
        (["sample", "TINY", "--temperature", "-1"], "temperature must be"),
        (["evaluate", "TINY", "--text", "BOOK"], "lacks"),
        (["import", "BOOK", "--out", "x.safetensors"], "cannot be read safely"),
        (["corpus", "anna", "--from", "absent.txt"], "absent.txt: cannot be read"),
    ],
)
def test_an_error_is_one_line_and_no_run_is_begun(
    arguments: list[str],
    message: str,
    text: Path,
    tmp_path: Path,
    tiny_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    replaced = {"BOOK": str(text), "TINY": str(tiny_path)}
    assert main([replaced.get(argument, argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("charstream: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_saved_state_and_a_word_on_how_to_go_on(
    text: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    command = ["-m", "training", "train", "--text", str(text), "--out", str(out), *SMALL]
    process = subprocess.Popen(
        [sys.executable, *command, "--epochs", "100000", "--validations", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step"):
            break
    process.send_signal(number)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "the state is saved" in rest
    assert "--resume" in rest
    assert "Traceback" not in rest
    assert torch.load(out / "state.pt", weights_only=True)["step"] > 0
