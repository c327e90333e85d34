"""The command line: reads the flags and runs a command. The short commands are here.

Torch takes more than a second to load, and some commands do not need it, so the others load it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoints.tokenizer_file import save_tokenizer
from model.choice.sampling_params import SamplingParams, check_seed
from model.decoding.selection import choose_device
from model.errors import CharstreamError, SamplingError, TrainingError, UnknownCharacterError
from training import describe_command, score_command, train_arguments
from training.arguments import add_checkpoint, add_device, add_path, add_text
from training.console import explaining_failed_output, print_error
from training.corpus import PUBLISHED, fetch, is_published, read_text

NEED_TORCH = ("train", "evaluate", "cells", "sample", "import")  # commands
_NEEDS_TORCH = (
    "charstream: training needs torch, which is not installed: run make setup, or in a clone of "
    "the repository: pip install '.[train]'"
)


def run(arguments: Sequence[str] | None = None, began: float | None = None) -> int:
    """Run one command and return its exit status. An error is printed as one line on stderr.

    Args:
        arguments: arguments of the command line. None takes those of the process.
        began: time of `time.monotonic` at which the command began. None takes the current time.
    """
    options = _parser().parse_args(arguments)
    options.began = time.monotonic() if began is None else began
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with explaining_failed_output(needed=options.prints_result or options.json):
            return command(options)
    except CharstreamError as error:
        print_error(f"charstream: {error}")
        return 1
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print_error(_NEEDS_TORCH)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train a model on a text, and use it offline."
    )
    parser.set_defaults(prints_result=False, json=False)  # a command may set them
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train a model on a text"))
    _add_evaluate(commands.add_parser("evaluate", help="measure how well a model predicts a text"))
    _add_cells(commands.add_parser("cells", help="find cells that track properties of a text"))
    _add_sample(commands.add_parser("sample", help="generate text from a checkpoint"))
    score_command.add_arguments(commands.add_parser("score", help="score each line of a text"))
    _add_corpus(commands.add_parser("corpus", help="download a published text"))
    _add_import(commands.add_parser("import", help="convert a checkpoint of the tutorial"))
    describe = commands.add_parser("describe", help="say which text a model has read")
    describe_command.add_arguments(describe)
    _add_tokenizer(commands.add_parser("tokenizer", help="write a tokenizer for other tools"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_train)
    train_arguments.add_arguments(parser)


def _train(options: argparse.Namespace) -> int:
    from training.train_command import train

    return train(options)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_evaluate, prints_result=True)
    add_checkpoint(parser)
    add_text(parser, "evaluated")
    add_device(parser)
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        help="evaluate on the CPU with the service's code for this precision (default: fp32 on "
        "--device)",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="evaluate on the CPU with a memory that learns from the text while it is read "
        "(default precision: the service's)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="read windows of N characters, each without what comes before it, as transformers "
        "are evaluated (default: the text as a whole)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _evaluate(options: argparse.Namespace) -> int:
    from training.evaluate_command import evaluate

    return evaluate(options)


def _add_cells(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_cells)
    add_checkpoint(parser, ".safetensors file of the model; gets the catalogue of cells")
    add_text(parser, "read")
    add_device(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _cells(options: argparse.Namespace) -> int:
    from training.cells_command import cells

    return cells(options)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_sample, prints_result=True)
    add_checkpoint(parser)
    parser.add_argument("--prime", default="", help="text to continue")
    parser.add_argument(
        "--length", type=int, default=500, help="characters to generate (default 500)"
    )
    parser.add_argument(
        "--top-k",
        type=int,
        default=5,
        help="draw from this many of the most likely characters; 0 draws from all (default 5)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="higher values make the text more random; 0 always takes the most likely character "
        "(default 1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random numbers (default 0)"
    )
    add_device(parser)


def _sample(options: argparse.Namespace) -> int:
    from training.sample import sample

    if options.length < 1:
        raise TrainingError(f"--length must be at least 1, got {options.length}")
    params, seed = _sampling(options)
    checkpoint = load_checkpoint(options.checkpoint)
    device = choose_device(options.device)
    try:
        text = sample(checkpoint, options.prime, options.length, params, seed, device)
    except UnknownCharacterError as error:
        raise TrainingError(f"--prime: {error}; leave them out") from error
    print(options.prime + text)
    return 0


def _sampling(options: argparse.Namespace) -> tuple[SamplingParams, int]:
    if options.top_k < 0:
        raise TrainingError(f"--top-k must be at least 1, or 0 for all, got {options.top_k}")
    try:
        return SamplingParams(options.temperature, options.top_k or None), check_seed(options.seed)
    except SamplingError as error:  # its message begins with the name of the parameter
        raise TrainingError(f"--{error}") from error


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_corpus)
    parser.add_argument("name", choices=sorted(PUBLISHED), help="text to download")
    add_path(parser, "--out", "file to write (default data/NAME.txt)")
    add_path(parser, "--from", "local copy to import instead of downloading", dest="source")


def _corpus(options: argparse.Namespace) -> int:
    out = options.out or Path("data") / f"{options.name}.txt"
    path = fetch(options.name, out, options.source)
    text = read_text(path)
    if not is_published(options.name, text):
        print_error(
            f"{options.source} differs from the published text, so losses cannot be compared. "
            "To train on your own text, pass its path: train --text FILE"
        )
    print(f"{path}: {len(text):,} characters, {len(set(text))} distinct")
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_import)
    tutorial = "the char-RNN notebook of Udacity's PyTorch course"
    add_path(parser, "file", f"file that the tutorial saved, which is {tutorial}")
    add_path(parser, "--out", ".safetensors file to write", required=True)


def _import(options: argparse.Namespace) -> int:
    from model.pytorch.tutorial import import_tutorial_checkpoint

    checkpoint = import_tutorial_checkpoint(options.file)
    save_checkpoint(checkpoint, options.out)
    config = checkpoint.config
    print(
        f"{options.out}: {config.layers} x {config.hidden_size}, "
        f"{config.vocabulary_size} characters"
    )
    return 0


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_tokenizer)
    add_checkpoint(parser)
    add_path(parser, "--out", "folder to write, in the format of Hugging Face", required=True)


def _tokenizer(options: argparse.Namespace) -> int:
    vocabulary = load_checkpoint(options.checkpoint).vocabulary
    try:
        save_tokenizer(vocabulary, options.out)
    except OSError as error:
        raise TrainingError(f"{options.out}: cannot be written: {error.strerror}") from error
    print(f"{options.out}: a tokenizer of {len(vocabulary)} characters")
    return 0
