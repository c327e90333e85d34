"""Arguments that several commands have, and their types."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def path_argument(text: str) -> Path:
    """Return the path. An empty one is refused: it would stand for the working directory.

    Raises:
        ArgumentTypeError: if the path is empty, as that from an unset shell variable is.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return Path(text)


def add_path(parser: argparse.ArgumentParser, name: str, text: str, **options: Any) -> None:
    """Add a flag or a positional argument whose value is the path of a file or a folder.

    Args:
        parser: parser of the command.
        name: name of the argument.
        text: its help.
        options: further arguments of `add_argument`.
    """
    parser.add_argument(name, type=path_argument, help=text, **options)


def add_checkpoint(
    parser: argparse.ArgumentParser, text: str = ".safetensors file of the model"
) -> None:
    """Add the checkpoint, which is the first argument of many commands."""
    add_path(parser, "checkpoint", text)


def add_text(parser: argparse.ArgumentParser, use: str) -> None:
    """Add the flag of a text of whose last tenth the command makes some use."""
    text = f"text file, or folder of text files; the last tenth of the text is {use}"
    add_path(parser, "--text", text, required=True)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the flag of the device to compute on."""
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu or cuda (default auto)"
    )
