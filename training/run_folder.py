"""RunFolder: the files of a training run.

    state.pt            everything that a resumed run needs
    best.safetensors    the averaged weights with the lowest validation loss so far
    metrics.jsonl       one JSON object per validation
    curves.svg          losses and learning rate
    samples/            text generated at each validation
    model-card.md       a description of the model
    report.html         losses, samples and settings as one page
    run.lock            exists while a process trains here, see `training.run_lock`

Every file except metrics.jsonl is replaced as a whole. If the process is killed, each file has its
old or its new content.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.atomic_file import UNFINISHED, replacing
from model.errors import CheckpointError, TrainingError
from training.state_file import UnusableStateError, decode_state, encode_state

Record = dict[str, Any]
_SAMPLE = "step-"  # begins the names of samples
_TOO_LARGE = 1e12  # for a number of a record; a curve with it could not be drawn
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NUMBERS = ("step", "epoch", "training_loss", "validation_loss", "learning_rate")  # of a record


class RunFolder:
    """The files of one run.

    Raises:
        TrainingError: from each method that writes, if the folder cannot be written; from
            `load_state`, if there is no state, or it cannot be read or used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_path = path / "state.pt"
        self.best_path = path / "best.safetensors"
        self.metrics_path = path / "metrics.jsonl"
        self.curves_path = path / "curves.svg"
        self.card_path = path / "model-card.md"
        self.report_path = path / "report.html"
        self._samples_path = path / "samples"

    def check_free(self) -> None:
        """Raise TrainingError if the folder holds a run or a model."""
        if self.state_path.exists():
            raise TrainingError(
                f"{self.path} holds a training run: --resume continues it, "
                "another --out starts a new one"
            )
        if self.best_path.exists():
            raise TrainingError(
                f"{self.best_path} exists, and a new run would replace it: choose another --out"
            )

    def start(self) -> None:
        """Create the folder for a new run."""
        self.check_free()
        with self.explaining_failure():
            self.path.mkdir(parents=True, exist_ok=True)
            self.metrics_path.unlink(missing_ok=True)
        self._remove_unfinished()

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        content = encode_state(state)
        with self.explaining_failure(), replacing(self.state_path) as file:
            file.write(content)

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """Return the saved state, with its tensors on a device."""
        if self.state_path.exists() and not self.state_path.is_file():  # reading may never end
            raise self.unusable_state("it is not a regular file")
        try:
            return decode_state(self.state_path.read_bytes(), device)
        except FileNotFoundError as error:
            raise TrainingError(f"{self.path} holds no training run to resume") from error
        except OSError as error:
            raise TrainingError(f"{self.state_path}: cannot be read: {error.strerror}") from error
        except UnusableStateError as error:
            raise self.unusable_state(str(error)) from error

    def unusable_state(self, reason: str) -> TrainingError:
        """Return an error for a state that cannot be used. It gives the reason and what to do."""
        advice = "start a new run with another --out"
        if self.best_path.exists():
            advice += f", with --init-from {self.best_path} to use the best weights so far"
        return TrainingError(
            f"{self.state_path}: damaged or of another version, so the run cannot be resumed: "
            f"{reason}. Instead, {advice}"
        )

    def records(self) -> list[Record]:
        """Return the records of the validations, in order. A damaged line is skipped."""
        if not self.metrics_path.exists():
            return []
        try:
            lines = self.metrics_path.read_bytes().splitlines()
        except OSError as error:
            raise TrainingError(f"{self.metrics_path}: cannot be read: {error.strerror}") from error
        return [record for line in lines if (record := _record(line)) is not None]

    def add_record(self, record: Record) -> None:
        """Append the record of a validation."""
        with self.explaining_failure(), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def prepare_resume(self, step: int) -> None:
        """Remove the records after an update, which the run writes again, and unfinished files."""
        self._remove_unfinished()
        kept = [record for record in self.records() if record["step"] <= step]
        with self.explaining_failure(), replacing(self.metrics_path) as file:
            file.writelines(json.dumps(record).encode() + b"\n" for record in kept)

    def write_sample(self, step: int, text: str) -> None:
        """Write the text generated at a validation."""
        self.write(self._samples_path / f"{_SAMPLE}{step:07}.txt", text)

    def samples(self) -> dict[int, str]:
        """Return the generated texts by the number of updates after which they were generated."""
        texts = {}
        for path in self._samples_path.glob(f"{_SAMPLE}*.txt"):
            with suppress(ValueError, OSError):  # not one of ours
                texts[int(path.stem.removeprefix(_SAMPLE))] = path.read_bytes().decode()
        return texts

    def write(self, path: Path, text: str) -> None:
        """Replace a text file of the folder."""
        with self.explaining_failure(), replacing(path) as file:
            file.write(text.encode())

    @contextmanager
    def explaining_failure(self) -> Iterator[None]:
        """Turn a write error into a TrainingError that says how to continue.

        A CheckpointError with another cause, such as weights that are too large, is raised as it
        is: more room would not help.
        """
        try:
            yield
        except (OSError, CheckpointError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            advice = ""
            if self.state_path.exists():
                remedy = "make room" if cause.errno in _FULL else "correct this"
                advice = f". The files saved before are intact: {remedy}, then use --resume"
            raise TrainingError(f"{self.path}: cannot be written: {reason}{advice}") from error

    def _remove_unfinished(self) -> None:
        """Remove the temporary files of a process that was killed while it wrote."""
        files = [self.state_path, self.best_path, self.metrics_path, self.curves_path]
        files += [self.card_path, self.report_path, self._samples_path / f"{_SAMPLE}*"]
        for file in files:
            for path in file.parent.glob(f".{file.name}.*{UNFINISHED}"):
                with suppress(OSError):
                    path.unlink()


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
        return record if all(abs(record[name]) < _TOO_LARGE for name in _NUMBERS) else None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
