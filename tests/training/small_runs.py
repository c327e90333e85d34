"""Small runs: a short text, and trainers whose runs on it take seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.network_config import NetworkConfig
from training.config import TrainingConfig
from training.corpus import Corpus
from training.events import Update, Validation
from training.run_folder import RunFolder
from training.trainer import Trainer

TEXT = "".join(f"{n} green bottles standing on the wall, {n * n} more.\n" for n in range(100))
CORPUS = Corpus.from_text(TEXT)
CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    epochs=3,
    batch_size=4,
    sequence_length=20,
    warmup=5,
    averaging=0.9,
    validations=6,
    optimizer="adamw",  # tests/training/test_muon.py has the other one
)


def make_trainer(folder: Path, config: TrainingConfig = CONFIG, resume: bool = False) -> Trainer:
    network = NetworkConfig(len(CORPUS.vocabulary), hidden_size=32, dropout=0.2, weight_dropout=0.1)
    return Trainer(CORPUS, network, config, RunFolder(folder), CPU, resume)


def stop_after(trainer: Trainer, events: int = 1) -> None:
    """Run until some events have happened, and save the state."""
    run = trainer.run()
    list(islice(run, events))
    run.close()


def finished(trainer: Trainer) -> Trainer:
    """Run to the end."""
    list(trainer.run())
    return trainer


def resumed_after(stop_at: int, folder: Path, make: Callable[..., Trainer]) -> Trainer:
    """Stop a run after some events, and run to the end what resumes it."""
    stopped = make(folder)
    stop_after(stopped, stop_at)
    resumed = make(folder, resume=True)
    assert resumed.step == stopped.step > 0
    return finished(resumed)


def run_to_first_validation(trainer: Trainer) -> Iterator[Update | Validation]:
    """Run until the first validation, and return the rest of the run."""
    run = trainer.run()
    while not isinstance(next(run), Validation):
        pass
    return run


def assert_same_weights(trainer: Trainer, other: Trainer) -> None:
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


def assert_same_best_weights(folder: RunFolder, other: RunFolder) -> None:
    weights = load_checkpoint(other.best_path).weights
    for name, array in load_checkpoint(folder.best_path).weights.items():
        assert np.array_equal(array, weights[name]), name


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
