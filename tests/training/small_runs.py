"""Small runs: a short text, and trainers whose runs on it take seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.network_config import NetworkConfig
from training.config import TrainingConfig
from training.corpus import Corpus
from training.run_folder import RunFolder
from training.trainer import Trainer

TEXT = "".join(f"{n} green bottles standing on the wall, {n * n} more.\n" for n in range(150))
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


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
