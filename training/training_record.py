"""Training record: what the metadata of a checkpoint says about how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.checkpoints.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.corpus import Corpus


def training_record(
    corpus: Corpus,
    config: TrainingConfig,
    initial: Checkpoint | None,
    teachers: Sequence[Checkpoint],
    **progress: float,
) -> dict[str, Any]:
    """Return the record of a run, as plain JSON values.

    Args:
        corpus: the text.
        config: settings of the run.
        initial: checkpoint from which the run started, or None.
        teachers: checkpoints from which the run learns.
        progress: `validation_loss`, `steps`, `epoch` and `seconds` so far.
    """
    record: dict[str, Any] = {
        "corpus_sha256": corpus.sha256,
        "training_characters": len(corpus.training),
        "validation_characters": len(corpus.validation),
        "split": "by position; the last 10% validates",
        **progress,
        "settings": config.as_record(),
    }
    if initial is not None:
        record["initial_checkpoint"] = initial.hash
    if teachers:
        record["teachers"] = [teacher.hash for teacher in teachers]
    return record
