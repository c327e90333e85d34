"""Model card: what a checkpoint is, for whoever finds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from model.checkpoint import Checkpoint


def model_card(checkpoint: Checkpoint, source: str, sample: str) -> str:
    """A page of Markdown about a run's best checkpoint.

    Args:
        checkpoint: with its training record.
        source: name of the text it learned from.
        sample: of what it writes.
    """
    config, record = checkpoint.config, checkpoint.training
    loss = record["validation_loss"]
    parameters = sum(tensor.numel() for tensor in checkpoint.weights.values())
    characters = "".join(checkpoint.vocabulary.characters)
    shown = characters if len(characters) <= 200 else characters[:200] + "..."
    fence = "~" * 3
    return f"""# {source}

A character-level LSTM, {config.layers} x {config.hidden_size}, {parameters:,} parameters.

| | |
| --- | --- |
| validation loss | {loss:.4f} nats per character, {loss / math.log(2):.4f} bits |
| learned from | the first {record["training_characters"]:,} characters of {source} |
| validated on | the last {record["validation_characters"]:,} |
| text's SHA-256 | `{record["corpus_sha256"]}` |
| checkpoint's hash | `{checkpoint.hash}` |
| updates | {record["steps"]:,}, {record["epoch"]:.1f} epochs, {_minutes(record)} |
| settings | {_settings(record)} |
| dropout | {config.dropout} of values, {config.weight_dropout} of recurrent weights |
| vocabulary | {len(checkpoint.vocabulary)} characters |

{fence}
{shown}
{fence}

## What it writes

{fence}
{sample}
{fence}

## What it is for, and not

It goes on with text in the manner of the one it learned from, a character at a time. It knows
nothing but that text, means nothing by what it writes, and repeats what it was shown, names
and opinions included.

    CHARSTREAM_CHECKPOINT=best.safetensors python -m app
    python -m training evaluate best.safetensors --text FILE
"""


def _settings(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in record["settings"].items())


def _minutes(record: Mapping[str, Any]) -> str:
    return f"{record['seconds'] / 60:.1f} minutes of work"
