"""The evaluate command: measures how well a checkpoint predicts the last tenth of a text."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.selection import choose_device, choose_precision
from model.errors import TrainingError
from model.pytorch.network import CharLSTM
from model.text.vocabulary import CorpusIds, Vocabulary
from training.console import print_error
from training.corpus import describe_missing, explaining_large_text, read_text, split
from training.evaluation import Evaluation, evaluate_as_served, evaluate_full_text, evaluate_windows
from training.progress import evaluation_progress


def evaluate(options: argparse.Namespace) -> int:
    """Print the loss of a checkpoint on the last tenth of a text."""
    if options.window is not None and (options.precision is not None or options.memory):
        raise TrainingError("--window evaluates in fp32 and without a memory: omit the other")
    checkpoint = load_checkpoint(options.checkpoint)
    ids, left_out = validation_ids(checkpoint.vocabulary, options.text)
    with evaluation_progress(len(ids) - 1) as report:
        if options.window is not None:
            device = torch.device(choose_device(options.device))
            network = CharLSTM.of(checkpoint).to(device)
            result = evaluate_windows(network, ids, options.window)
        elif options.precision is None and not options.memory:
            device = torch.device(choose_device(options.device))
            result = evaluate_full_text(checkpoint, ids, device, report)
        else:
            precision = choose_precision(options.precision or "auto", "cpu")
            result = evaluate_as_served(checkpoint, ids, precision, report, options.memory)
    print(_as_json(result, left_out) if options.json else _as_line(result))
    return 0


def _as_json(result: Evaluation, left_out: int) -> str:
    figures = {
        "nats_per_character": result.nats_per_character,
        "characters": result.characters,
        "bits_per_character": result.bits_per_character,
        "perplexity": result.perplexity,
        "left_out": left_out,
    }
    # JSON has no infinity.
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return json.dumps(finite)


def _as_line(result: Evaluation) -> str:
    return (
        f"{result.nats_per_character:.4f} nats per character, "
        f"{result.bits_per_character:.4f} bits, perplexity {result.perplexity:.3f}, "
        f"over {result.characters:,} characters"
    )


def validation_ids(vocabulary: Vocabulary, path: Path) -> tuple[CorpusIds, int]:
    """Return the ids of a text's last tenth, and the number of characters that are left out.

    Raises:
        TrainingError: if the text is too short.
    """
    with explaining_large_text(path):
        _, text = split(read_text(path))
        ids, missing = vocabulary.encode_corpus(text)
    if missing:
        print_error(f"charstream: {describe_missing(vocabulary, missing)}")
    if len(ids) < 2:
        raise TrainingError("the last tenth of the text is too short to evaluate; use more text")
    return ids, len(text) - len(ids)
