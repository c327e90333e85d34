"""Results: the files that a validation leaves beside the checkpoint, for people to look at."""

from __future__ import annotations

import math
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from model.checkpoints.checkpoint import load_checkpoint
from model.choice.sampling_params import SamplingParams
from training.console import printable
from training.model_card import model_card
from training.overfitting import describe_overfitting
from training.report import Report, render, render_curves
from training.sample import sample
from training.train_arguments import named_as_flags
from training.trainer import Trainer

_SAMPLE_CHARACTERS = 240
_SAMPLING = SamplingParams(temperature=0.8, top_k=None)


def write_results(trainer: Trainer, source: str) -> str:
    """Write the sample, curves, model card and report of the newest validation.

    Args:
        trainer: the run, with the weights of that validation.
        source: name of the text.

    Returns:
        the sample.
    """
    folder, records = trainer.folder, trainer.folder.records()
    text = sample(trainer.averaged(), "", _SAMPLE_CHARACTERS, _SAMPLING, trainer.step)
    folder.write_sample(trainer.step, text)
    folder.write(folder.curves_path, render_curves(records))
    folder.write(folder.report_path, render(make_report(trainer, source)))
    is_best = records[-1]["validation_loss"] == trainer.best_loss
    if is_best and folder.best_path.exists():
        card = model_card(load_checkpoint(folder.best_path), source, printable(text))
        folder.write(folder.card_path, card)
    return text


def make_report(trainer: Trainer, source: str) -> Report:
    """Return the report of a run with at least one validation."""
    folder, distilled = trainer.folder, "teachers" in trainer.record
    settings = asdict(trainer.network.config) | asdict(trainer.config)
    return Report(
        source=source,
        command=serve_line(folder.best_path.absolute()),
        summary=_summary(trainer),
        settings=named_as_flags(settings, distilled),
        records=folder.records(),
        samples=folder.samples(),
    )


def _summary(trainer: Trainer) -> dict[str, object]:
    corpus, network = trainer.corpus, trainer.network.config
    loss = trainer.best_loss
    return {
        "lowest validation loss": f"{loss:.4f} nats, {loss / math.log(2):.4f} bits per character",
        "after it": describe_overfitting(trainer.folder.records()) or "the loss did not rise",
        "updates": f"{trainer.step:,} of {trainer.total_steps:,}, {trainer.epoch:.2f} epochs",
        "time": f"{trainer.seconds / 60:.1f} minutes",
        "network": f"{network.layers} x {network.hidden_size} LSTM, "
        f"{network.parameters:,} parameters",
        "device and precision": f"{trainer.device}, {trainer.config.precision}",
        "training text": f"the first {len(corpus.training):,} characters",
        "validation text": f"the last {len(corpus.validation):,} characters, of which each "
        f"validation predicts {trainer.validated_characters:,}",
        "vocabulary": f"{len(corpus.vocabulary):,} characters",
        "SHA-256 of the text": corpus.sha256,
    }


def serve_line(checkpoint: Path) -> str:
    """Return the line that serves a checkpoint.

    It uses the Python that runs this process. In the container of docker-compose.yml, which sets
    RUNS_OUTSIDE to the folder that is /runs in it, the line uses Docker Compose outside of it.
    """
    runs = os.environ.get("RUNS_OUTSIDE")
    if runs and checkpoint.is_relative_to("/runs"):
        folder = f"{runs}/{checkpoint.parent.relative_to('/runs')}"
        return f"CHECKPOINTS={shlex.quote(folder)} CHECKPOINT={checkpoint.name} docker compose up"
    return f"CHARSTREAM_CHECKPOINT={shlex.quote(str(checkpoint))} {shlex.quote(_python())} -m app"


def _python() -> str:
    """Return the path of the interpreter, relative if it is below the working directory."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
