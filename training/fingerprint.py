"""Fingerprint: the values that identify a run, saved with its state and checked at a resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from training.config import TrainingConfig, settings_from_record
from training.corpus import Corpus
from training.run_folder import RunFolder
from training.train_arguments import flag_of

Fingerprint = dict[str, Any]


def make_fingerprint(
    corpus: Corpus,
    network_config: NetworkConfig,
    config: TrainingConfig,
    initial: Checkpoint | None,
    teachers: Sequence[Checkpoint],
) -> Fingerprint:
    """Return the fingerprint of a run, as plain values."""
    return {
        "corpus": corpus.sha256,
        "vocabulary": "".join(corpus.vocabulary.characters),
        "network": asdict(network_config),
        "settings": config.as_record(),
        "initial": "" if initial is None else initial.hash,
        "teachers": [teacher.hash for teacher in teachers],
    }


def check_same_run(saved: Fingerprint, current: Fingerprint, folder: RunFolder) -> None:
    """Check that the run in a folder may be resumed.

    Raises:
        TrainingError: if the text, vocabulary, initial weights, teachers or a setting differs. The
            message names the difference.
    """
    path = folder.path
    if saved["corpus"] != current["corpus"]:
        raise TrainingError(f"{path} was trained on another text: --text must be the same")
    if saved["initial"] != current["initial"]:
        raise TrainingError(f"{path} started from other weights: --init-from must be the same")
    if saved["teachers"] != current["teachers"]:
        raise TrainingError(f"{path} had other teachers: --distill-from must be the same")
    if saved["vocabulary"] != current["vocabulary"]:
        raise TrainingError(f"{path} has another vocabulary: --min-count must be the same")
    if differences := _differences(saved, current):
        message = f"{path} is another run: {'; '.join(differences)}. Omit these flags to resume it"
        if saved["network"] == current["network"]:
            message += f", or start a new run with --init-from {folder.best_path} --out OTHER"
        raise TrainingError(message)


def _differences(saved: Fingerprint, current: Fingerprint) -> list[str]:
    pairs = (
        (saved["network"], current["network"]),
        (settings_from_record(saved["settings"]), settings_from_record(current["settings"])),
    )
    return [
        f"{flag_of(name)} was {before.get(name)}, is {value}"
        for before, now in pairs
        for name, value in now.items()
        if before.get(name) != value
    ]
