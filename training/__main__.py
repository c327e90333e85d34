"""The command line: python -m training train|evaluate|sample|corpus|import."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from model.checkpoint import load_checkpoint, save_checkpoint
from model.errors import CharstreamError, TrainingError
from model.sampling import SamplingParams, check_seed
from model.selection import choose_device, choose_precision
from model.tutorial import import_tutorial_checkpoint
from model.vocabulary import CorpusIds, Vocabulary
from training import train_command
from training.corpus import PUBLISHED, describe_lacking, fetch, is_published, read_text, split
from training.evaluation import evaluate_as_served, yardstick
from training.write import write


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. Errors end in one line on stderr."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CharstreamError as error:
        print(f"charstream: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="From a text to a checkpoint."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train_command.add_arguments(commands.add_parser("train", help="train a network on a text"))
    _add_evaluate(commands.add_parser("evaluate", help="how well a checkpoint predicts a text"))
    _add_sample(commands.add_parser("sample", help="write some text with a checkpoint"))
    _add_corpus(commands.add_parser("corpus", help="bring a published text here"))
    _add_import(commands.add_parser("import", help="turn the tutorial's checkpoint into ours"))
    return parser


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_evaluate)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="its last tenth is evaluated")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        help="as the service computes at this precision on a CPU (default fp32, or the GPU)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _evaluate(options: argparse.Namespace) -> int:
    checkpoint = load_checkpoint(options.checkpoint)
    ids, left_out = _validation_ids(checkpoint.vocabulary, read_text(options.text))
    if options.precision is None:
        result = yardstick(checkpoint, ids, choose_device(options.device))
    else:
        precision = choose_precision(options.precision, torch.device("cpu"))
        result = evaluate_as_served(checkpoint, ids, precision)
    if options.json:
        figures = dataclasses.asdict(result) | {
            "bits_per_character": result.bits_per_character,
            "perplexity": result.perplexity,
            "left_out": left_out,
        }
        print(json.dumps(figures))
    else:
        print(
            f"{result.nats_per_character:.4f} nats per character, "
            f"{result.bits_per_character:.4f} bits, perplexity {result.perplexity:.3f}, "
            f"over {result.characters:,} characters"
        )
    return 0


def _validation_ids(vocabulary: Vocabulary, text: str) -> tuple[CorpusIds, int]:
    """The last tenth's ids, and how many of its characters the vocabulary lacks."""
    _, text = split(text)
    ids, lacking = vocabulary.encode_corpus(text)
    if lacking:
        print(f"charstream: {describe_lacking(vocabulary, lacking)}", file=sys.stderr)
    if len(ids) < 2:
        raise TrainingError("the last tenth of the text is too short to evaluate")
    return ids, len(text) - len(ids)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_sample)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prime", default="", help="text to go on from")
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--top-k", type=int, default=5, help="0: all (default 5)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")


def _sample(options: argparse.Namespace) -> int:
    if options.length < 1:
        raise TrainingError(f"--length must be at least 1, got {options.length}")
    params = SamplingParams(options.temperature, options.top_k or None)
    seed = check_seed(options.seed)
    checkpoint = load_checkpoint(options.checkpoint)
    device = choose_device(options.device)
    text = write(checkpoint, options.prime, options.length, params, seed, device)
    print(options.prime + text)
    return 0


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_corpus)
    parser.add_argument("name", choices=sorted(PUBLISHED))
    parser.add_argument("--out", type=Path, help="default data/NAME.txt")
    parser.add_argument("--from", dest="source", type=Path, help="a local copy, for want of a net")


def _corpus(options: argparse.Namespace) -> int:
    out = options.out or Path("data") / f"{options.name}.txt"
    path = fetch(options.name, out, options.source)
    text = read_text(path)
    if not is_published(options.name, text):
        print(
            f"{options.source} is not the published text: no loss on it can be compared. "
            "Train on a text of your own by its path: train --text FILE",
            file=sys.stderr,
        )
    print(f"{path}: {len(text):,} characters, {len(set(text))} distinct")
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_import)
    parser.add_argument("file", type=Path, help="what the tutorial's torch.save wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")


def _import(options: argparse.Namespace) -> int:
    checkpoint = import_tutorial_checkpoint(options.file)
    save_checkpoint(checkpoint, options.out)
    config = checkpoint.config
    print(
        f"{options.out}: {config.layers} x {config.hidden_size}, "
        f"{config.vocabulary_size} characters"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
