"""Model card: a Markdown page that describes a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.checkpoints.checkpoint import Checkpoint
from model.text.vocabulary import Vocabulary
from training.config import settings_from_record
from training.train_arguments import named_as_flags

_MAX_CHARACTERS = 200  # of the vocabulary

_CARD = """# {source}

A character-level LSTM, {layers} x {hidden_size}, {parameters:,} parameters.

| | |
| --- | --- |
| validation loss | {loss:.4f} nats per character, {bits:.4f} bits |
| training text | the first {training_characters:,} characters of {source} |
| validation text | the last {validation_characters:,} characters |
| SHA-256 of the text | `{corpus_sha256}` |
| hash of the checkpoint | `{hash}` |
| updates | {steps:,}, {epoch:.1f} epochs, {minutes:.1f} minutes of training |
| settings | `{settings}` |
| vocabulary | {vocabulary_size} characters |

~~~
{vocabulary}
~~~

## Sample

~~~
{sample}
~~~

## Use and limits

The model continues a text in the style of the text it was trained on, one character at a time. It
has no knowledge beyond that text and no intention. It repeats what it has read, including names
and opinions.

    CHARSTREAM_CHECKPOINT=best.safetensors python -m app
    python -m training evaluate best.safetensors --text FILE
"""


def model_card(checkpoint: Checkpoint, source: str, sample: str) -> str:
    """Return a Markdown page that describes the best checkpoint of a run.

    Args:
        checkpoint: a checkpoint with a training record.
        source: name of the text that it was trained on.
        sample: a text that it generated.
    """
    config, record = checkpoint.config, checkpoint.training
    return _CARD.format(
        source=source,
        sample=sample,
        layers=config.layers,
        hidden_size=config.hidden_size,
        settings=_settings(checkpoint),
        parameters=config.parameters,
        hash=checkpoint.hash,
        vocabulary_size=len(checkpoint.vocabulary),
        vocabulary=_shortened(checkpoint.vocabulary),
        **_of_record(record),
    )


def _settings(checkpoint: Checkpoint) -> str:
    record = checkpoint.training
    settings = asdict(checkpoint.config) | settings_from_record(record["settings"])
    flags = named_as_flags(settings, distilled="teachers" in record)
    return " ".join(f"{flag} {value}" for flag, value in flags.items())


def _shortened(vocabulary: Vocabulary) -> str:
    characters = "".join(vocabulary.characters)
    if len(characters) <= _MAX_CHARACTERS:
        return characters
    return characters[:_MAX_CHARACTERS] + "..."


def _of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("training_characters", "validation_characters", "corpus_sha256", "steps", "epoch")
    return {
        "loss": record["validation_loss"],
        "bits": record["validation_loss"] / math.log(2),
        "minutes": record["seconds"] / 60,
        **{name: record[name] for name in copied},
    }
