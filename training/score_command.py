"""The score command: scores each line of a text."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.selection import choose_device
from model.decoding.text_scoring import Texts
from model.errors import CorpusError, OutputError, UnknownCharacterError
from model.text.folding import fold
from model.text.vocabulary import UNKNOWN, Vocabulary
from training.arguments import add_checkpoint, add_device, add_path
from training.console import showing_speed
from training.score import Scorer
from training.text_lines import name_of, read_lines

Row = dict[str, float | str | None]

_FIELDS = ("line", "nats", "bits", "bits_per_character", "characters")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.set_defaults(command=score, prints_result=True)
    add_checkpoint(parser)
    add_path(parser, "file", "text file whose lines are scored, or - for standard input")
    parser.add_argument("--prime", default="", help="text that the model reads before each line")
    parser.add_argument(
        "--unknown",
        choices=("reject", "skip", "fold"),
        default="reject",
        help="what to do with characters that the model does not know: end with an error, leave "
        "them out, or replace quotation marks, dashes and accented letters (default reject)",
    )
    add_device(parser)
    parser.add_argument(
        "--memory",
        action="store_true",
        help="read the lines one after the other into one memory, so that a line that resembles "
        "earlier ones is less surprising",
    )
    parser.add_argument(
        "--with-text", action="store_true", help="write the text of each line beside its score"
    )
    parser.add_argument("--json", action="store_true", help="write JSON lines instead of CSV")


def score(options: argparse.Namespace) -> int:
    """Write the score of each line to standard output."""
    checkpoint = load_checkpoint(options.checkpoint)
    device = choose_device(options.device)
    scorer = Scorer(checkpoint, options.prime, device, options.memory)
    count = 0
    blocks = read_lines(options.file)
    first = next(blocks, [])  # before the head, because the file may be missing
    try:
        write = _write_json if options.json else _csv_writer(options.with_text)
        with showing_speed() as report:
            for block in chain([first], blocks):
                lines = _known(checkpoint.vocabulary, block, options.unknown)
                good = _known_count(checkpoint.vocabulary, lines)
                rows = _rows(scorer, checkpoint.vocabulary, lines[:good])
                write(_completed(rows, count, block if options.with_text else None))
                sys.stdout.flush()
                if good < len(lines):
                    _refuse(options, checkpoint.vocabulary, lines[good], count + good + 1)
                count += len(lines)
                report(len(lines), sum(map(len, lines)))
    except OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):
            raise
        # The reader of the output, such as `head`, has ended.
    return 0


def _known(vocabulary: Vocabulary, lines: list[str], unknown: str) -> list[str]:
    """Return the lines with what `--unknown` makes of characters that the model does not know."""
    whole = "".join(lines)
    if unknown == "reject" or vocabulary.find_unscorable(whole) < 0:
        return lines
    if unknown == "fold":
        return [fold(line, vocabulary) for line in lines]
    left_out = vocabulary.unknown_characters(whole) | {UNKNOWN}
    table = dict.fromkeys(map(ord, left_out))
    return [line.translate(table) for line in lines]


def _known_count(vocabulary: Vocabulary, lines: Sequence[str]) -> int:
    """Return the number of lines before the first with a character that cannot be scored."""
    first = vocabulary.find_unscorable("".join(lines))
    if first < 0:
        return len(lines)
    ends = np.cumsum([len(line) for line in lines])
    return int(np.searchsorted(ends, first, side="right"))


def _refuse(options: argparse.Namespace, vocabulary: Vocabulary, line: str, number: int) -> None:
    try:
        vocabulary.encode_scored(line)
    except UnknownCharacterError as error:
        others = "skip" if options.unknown == "fold" else "skip or fold"
        where = f"{name_of(options.file)}: line {number}"
        raise CorpusError(f"{where}: {error}; use --unknown {others}") from error


def _rows(scorer: Scorer, vocabulary: Vocabulary, lines: Sequence[str]) -> Iterator[Row]:
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    texts = Texts(vocabulary.encode("".join(lines)), lengths[lengths > 0])
    nats_of_texts = iter(scorer.score(texts).nats_T.tolist())
    for length in lengths.tolist():
        nats = next(nats_of_texts) if length else 0.0
        bits = nats / math.log(2)
        mean = bits / length if length else None
        yield {"nats": nats, "bits": bits, "bits_per_character": mean, "characters": length}


def _completed(rows: Iterator[Row], before: int, texts: Sequence[str] | None) -> Iterator[Row]:
    """Add the number of the line to each row, and the text of the line if there are texts."""
    for index, row in enumerate(rows):
        text: Row = {} if texts is None else {"text": texts[index]}
        yield {"line": before + index + 1, **row, **text}


def _write_json(rows: Iterator[Row]) -> None:
    for row in rows:
        print(json.dumps(row))


def _csv_writer(with_text: bool) -> Callable[[Iterator[Row]], None]:
    fields = (*_FIELDS, "text") if with_text else _FIELDS
    writer = csv.DictWriter(sys.stdout, fields, lineterminator="\n")
    writer.writeheader()
    return writer.writerows
