"""The score command: scores each line of a text."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NoReturn

from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.selection import choose_device
from model.errors import CorpusError, OutputError, TrainingError, UnknownCharacterError
from training.arguments import add_checkpoint, add_device, add_path
from training.console import counted, print_error, showing_speed
from training.line_scorer import FIELDS, UNKNOWN_CHOICES, LineScorer, Row, row_of
from training.score import Scorer
from training.score_file import opened
from training.text_lines import STDIN, Span, name_of, read_lines, shard, skip_lines

_WHOLE_FILE = (1, 1)  # its only shard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.set_defaults(command=score, prints_result=True)
    add_checkpoint(parser)
    add_path(parser, "file", "text file whose lines are scored, or - for standard input")
    parser.add_argument("--prime", default="", help="text that the model reads before each line")
    parser.add_argument(
        "--unknown",
        choices=UNKNOWN_CHOICES,
        default="reject",
        help="what to do with characters that the model does not know: refuse the line, leave "
        "them out, or replace quotation marks, dashes and accented letters (default reject)",
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "empty"),
        default="stop",
        help="what to do with a line that is refused or is not UTF-8: end with an error, or write "
        "a row without a score (default stop)",
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
    add_path(parser, "--out", "file to write instead of standard output", metavar="FILE")
    parser.add_argument(
        "--resume", action="store_true", help="continue the file of --out, if it exists"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=_WHOLE_FILE,
        metavar="K/N",
        help="score only the K-th of N parts of the file. The outputs of all parts, one after the "
        "other, are the output for the whole file",
    )


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(
            f"expected K/N with 1 <= K <= N, such as 1/8, got {text!r}"
        )
    return int(number), int(count)


def score(options: argparse.Namespace) -> int:
    """Write the score of each line to standard output or to a file."""
    _check(options)
    checkpoint = load_checkpoint(options.checkpoint)
    device = choose_device(options.device)
    scorer = Scorer(checkpoint, options.prime, device, options.memory)
    line_scorer = LineScorer(checkpoint.vocabulary, scorer, options.unknown)
    try:
        with _output(options) as (rows, write):
            _score_lines(options, line_scorer, rows, write)
    except OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):
            raise
        # The reader of the output, such as `head`, has ended.
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that exclude each other."""
    if options.resume and options.out is None:
        raise TrainingError("--resume needs --out, the file to continue")
    if options.resume or options.shard != _WHOLE_FILE:
        option = "--resume" if options.resume else "--shard"
        if options.file == STDIN or (options.file.exists() and not options.file.is_file()):
            raise TrainingError(f"{option} needs a regular file, got {name_of(options.file)}")
        if options.memory:
            raise TrainingError(
                f"{option} and --memory exclude each other: a memory reads all lines"
            )


@contextmanager
def _output(options: argparse.Namespace) -> Iterator[tuple[int, Callable[[str], None]]]:
    """Yield the number of rows that the output has already, and a function that adds rows."""
    if options.out is None:
        yield 0, _print
    else:
        with opened(options.out, options.resume) as file:
            yield file.rows, file.write


def _print(rows: str) -> None:
    sys.stdout.write(rows)
    sys.stdout.flush()


def _score_lines(
    options: argparse.Namespace, scorer: LineScorer, rows: int, write: Callable[[str], None]
) -> None:
    """Score the lines that have no row yet."""
    head, span = _head(options), shard(options.file, *options.shard)
    if rows:
        head, span = "", skip_lines(options.file, span, rows - head.count("\n"))
    results, empty = _results(options, scorer, span), 0
    with showing_speed(shown=options.out is not None) as report:
        for block in chain([next(results, [])], results):  # an empty text has a head too
            write(head + _format(options, block))
            head = ""
            empty += sum(row["nats"] is None for row in block)
            report(len(block), sum(int(row["characters"] or 0) for row in block))
    if empty:
        print_error(f"charstream: {counted(empty, 'line')} could not be scored")


def _results(options: argparse.Namespace, scorer: LineScorer, span: Span) -> Iterator[list[Row]]:
    """Yield the rows of the lines of a file, block by block."""
    number = span.lines_before
    for block in read_lines(options.file, span, replace=options.on_error == "empty"):
        lines = scorer.read(block)
        rows = list(map(row_of, scorer.score(lines).tolist(), lines))
        for index, row in enumerate(rows):
            number += 1
            row["line"] = number
            if options.with_text:
                row["text"] = block[index]
            if row["nats"] is None and options.on_error == "stop":
                yield rows[:index]
                _refuse(options, scorer, lines[index], number)
        yield rows


def _refuse(options: argparse.Namespace, scorer: LineScorer, line: str, number: int) -> NoReturn:
    try:
        scorer.check(line)
    except UnknownCharacterError as error:
        others = "skip" if options.unknown == "fold" else "skip or fold"
        where = f"{name_of(options.file)}: line {number}"
        advice = f"use --unknown {others}, or --on-error empty"
        raise CorpusError(f"{where}: {error}; {advice}") from error
    raise AssertionError(f"line {number} has no score, but no character that is unknown")


def _head(options: argparse.Namespace) -> str:
    """Return the first row of the output. Only the first shard has one."""
    has_head = not options.json and options.shard[0] == 1
    return ",".join(_fields(options)) + "\n" if has_head else ""


def _fields(options: argparse.Namespace) -> list[str]:
    return ["line", *FIELDS, *(["text"] if options.with_text else [])]


def _format(options: argparse.Namespace, rows: Iterable[Row]) -> str:
    """Return rows as CSV or as JSON lines."""
    fields = _fields(options)
    as_line = json.dumps if options.json else _as_csv
    return "".join(as_line({key: row[key] for key in fields}) + "\n" for row in rows)


def _as_csv(row: Row) -> str:
    """Return a row as CSV. The module csv of Python 3.11 does not quote a carriage return."""
    cells = ["" if value is None else str(value) for value in row.values()]
    if "text" in row:
        cells[-1] = '"' + cells[-1].replace('"', '""') + '"'
    return ",".join(cells)
