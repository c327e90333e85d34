"""TrainingResult: what a training run with a time limit has reached, kept in the run's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.checkpoint import load_checkpoint


@dataclass(frozen=True)
class TrainingResult:
    """The result of one run."""

    loss: float  # of `evaluate`, nats per character
    epochs: float
    updates: int
    minutes: float  # of training


def result_of(
    text: Path,
    folder: Path,
    minutes: str,
    flags: Sequence[str] = (),
    evaluate_flags: Sequence[str] = (),
) -> TrainingResult:
    """Train on a text for some minutes and evaluate the best checkpoint, in two processes.

    If the folder holds an unfinished run, the run continues. If it holds a result, nothing is run.

    Args:
        text: the text.
        folder: folder of the run. It gets the result as result.json.
        minutes: time limit of the training.
        flags: more flags of `train`.
        evaluate_flags: more flags of `evaluate`.

    Raises:
        subprocess.CalledProcessError: if a command fails.
    """
    path = folder / "result.json"
    if not path.exists():
        print(f"{folder}: training for {minutes} minutes", flush=True)
        resume = ["--resume"] if (folder / "state.pt").exists() else []
        train = ["train", "--text", str(text), "--out", str(folder), "--minutes", minutes, *flags]
        run_training(*train, *resume)
        path.write_text(json.dumps(asdict(_evaluated(text, folder, evaluate_flags))))
    return TrainingResult(**json.loads(path.read_text()))


def _evaluated(text: Path, folder: Path, flags: Sequence[str]) -> TrainingResult:
    best = folder / "best.safetensors"
    loss = json.loads(run_training("evaluate", str(best), "--text", str(text), "--json", *flags))
    record = load_checkpoint(best).training
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    return TrainingResult(
        loss["nats_per_character"], last["epoch"], last["step"], record["seconds"] / 60
    )


def run_training(*arguments: str) -> str:
    """Run a command of the training package and return what it prints."""
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def folder_name(name: str, flags: str) -> str:
    """Return a name for the folder of a run that differs if the flags differ."""
    text = f"{name} {flags}" if flags else name
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)
