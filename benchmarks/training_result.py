"""TrainingResult: what a training run with a time limit has reached, kept in the run's folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.checkpoints.atomic_file import replacing
from model.errors import CorpusError, TrainingError
from training.corpus import read_text, text_hash
from training.run_lock import locked


@dataclass(frozen=True)
class TrainingResult:
    """The result of one run."""

    loss: float  # of `evaluate`, nats per character
    epochs: float
    updates: int


def result_of(
    text: Path,
    folder: Path,
    minutes: str,
    flags: Sequence[str] = (),
    evaluate_flags: Sequence[str] = (),
) -> TrainingResult:
    """Train on a text for some minutes and evaluate the best checkpoint, in two processes.

    If the folder holds the result of this text and these flags, nothing is run. If the training was
    interrupted, it begins again. If only the evaluation was, it is repeated. If the folder holds
    another run, `train` fails.

    Args:
        text: the text.
        folder: folder of the run. It gets the result as result.json.
        minutes: time limit of the training.
        flags: more flags of `train`.
        evaluate_flags: more flags of `evaluate`.

    Raises:
        subprocess.CalledProcessError: if a command fails.
        SystemExit: if the text cannot be read, or another process trains in the folder.
    """
    path, trained = folder / "result.json", folder / "trained.json"
    run = {"text": text_hash(text_of(text)), "flags": [*flags], "evaluate": [*evaluate_flags]}
    if (result := _saved(path, run)) is not None:
        return result
    if _read(trained) != run:
        _prepare(folder, run)
        print(f"{folder}: training for {minutes} minutes", flush=True)
        command = ("train", "--text", str(text), "--out", str(folder), "--minutes", minutes)
        run_training(*command, *flags)
        _write(trained, run)
        _record_of(folder).unlink(missing_ok=True)
    result = _evaluated(text, folder, evaluate_flags)
    _write(path, {"run": run, "result": asdict(result)})
    return result


def text_of(path: Path) -> str:
    """Return a text. Raises SystemExit if it cannot be read."""
    try:
        return read_text(path)
    except CorpusError as error:
        raise SystemExit(str(error)) from error


def _prepare(folder: Path, run: Mapping[str, Any]) -> None:
    """Remove an unfinished attempt at a run. Leave the folder as it is if it holds another run.

    If the attempt were resumed, it would train less than one that was never stopped, because each
    start of the command takes some of the time.
    """
    record = _record_of(folder)
    try:
        if folder.exists() and _read(record) == run:
            with locked(folder):
                shutil.rmtree(folder)
    except TrainingError as error:
        raise SystemExit(str(error)) from error
    if not folder.exists():
        _write(record, run)


def _record_of(folder: Path) -> Path:
    """Return the path of the record of an attempt.

    It lies beside the folder. So it is written before the folder exists, and stays if the removal
    of the folder is interrupted.
    """
    return folder.with_name(f"{folder.name}.attempt.json")


def _read(path: Path) -> Any:
    """Return the content of a JSON file, or None if there is no such file."""
    return json.loads(path.read_text()) if path.exists() else None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write(json.dumps(content).encode())


def _saved(path: Path, run: Mapping[str, Any]) -> TrainingResult | None:
    """Return the result in a file, or None if there is none for a run like this."""
    saved = _read(path) or {}
    return TrainingResult(**saved["result"]) if saved.get("run") == run else None


def _evaluated(text: Path, folder: Path, flags: Sequence[str]) -> TrainingResult:
    best = folder / "best.safetensors"
    loss = json.loads(run_training("evaluate", str(best), "--text", str(text), "--json", *flags))
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    return TrainingResult(loss["nats_per_character"], last["epoch"], last["step"])


def run_training(*arguments: str) -> str:
    """Run a command of the training package and return what it prints."""
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def folder_name(name: str, flags: str) -> str:
    """Return a name for the folder of a run. It differs if the names of the flags differ."""
    text = f"{name} {flags}" if flags else name
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)
