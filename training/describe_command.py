"""The describe command: says in a checkpoint which text the model has read, and how to begin."""

from __future__ import annotations

import argparse
from dataclasses import replace

from model.checkpoints.about import ABOUT_KEYS, About
from model.checkpoints.checkpoint import load_checkpoint, save_about
from model.errors import TrainingError, UnknownCharacterError
from model.text.vocabulary import Vocabulary
from training.arguments import add_checkpoint

_HELP = {
    "title": "what the text is, for example: Anna Karenina by Leo Tolstoy",
    "source": "where the text comes from",
    "prime": "an example to begin with",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.set_defaults(command=_describe, prints_result=True)
    add_checkpoint(parser)
    add_texts(parser)


def add_texts(parser: argparse._ActionsContainer) -> None:
    """Declare the flags for the texts of a description."""
    for key in ABOUT_KEYS:
        parser.add_argument(f"--{key}", metavar="TEXT", help=_HELP[key])


def described(options: argparse.Namespace, about: About, vocabulary: Vocabulary) -> About:
    """Return a description with the texts that the flags give.

    Raises:
        TrainingError: if one is too long or not printable, or if the vocabulary lacks a character
            of the prime. The message names the flag.
    """
    given = {key: vars(options)[key] for key in ABOUT_KEYS if vars(options)[key] is not None}
    try:
        about = replace(about, **given)
        vocabulary.encode(about.prime)
    except ValueError as error:
        raise TrainingError(f"--{error}") from error
    except UnknownCharacterError as error:
        raise TrainingError(f"--prime: {error}; leave them out") from error
    return about


def _describe(options: argparse.Namespace) -> int:
    checkpoint = load_checkpoint(options.checkpoint)
    about = described(options, checkpoint.about, checkpoint.vocabulary)
    save_about(options.checkpoint, about)
    for key, text in about.metadata.items():
        print(f"{key}: {text}")
    return 0
