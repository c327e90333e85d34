"""The program `charstream_client cells`: print cells of the model while it reads a text."""

from __future__ import annotations

import argparse
import errno
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .client import Client
from .command_line import add_connection_options, add_model_option, exit_status, report
from .params import Cell
from .responses import understood
from .results import Cells


def main(arguments: list[str]) -> int:
    """Print a table, with tabs between its columns. Return the exit status."""
    options = vars(_parser().parse_args(arguments))
    url, api_key = options.pop("url"), options.pop("api_key")
    text, file = options.pop("text"), options.pop("file")
    if file is not None:
        try:
            text = _read(file)
        except (OSError, UnicodeDecodeError) as error:
            name = "standard input" if str(file) == "-" else file
            report(f"{name}: {_reason(error)}")
            return 1
    params: dict[str, Any] = {k: value for k, value in options.items() if value is not None}
    if "spans" in params:
        params["find"] = params.pop("spans")

    def work(client: Client) -> None:
        result = client.cells(text, **params)
        with understood(f"{url}/cells"):
            rows = list(_rows(text, result))
        for row in rows:
            print(*row, sep="\t")

    return exit_status(url, api_key, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="charstream_client cells",
        description="Print the values of cells after each character of a text, or the cells that "
        "correlate best with a property or with spans of the text.",
    )
    add_connection_options(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", help="text to read")
    source.add_argument("--file", type=Path, help="UTF-8 file to read; - reads standard input")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--cell",
        dest="cells",
        action="append",
        type=_cell,
        metavar="LAYER:CELL",
        help="print the values of a cell, such as 1:293; may be repeated",
    )
    what.add_argument("--find", metavar="PROPERTY", help="search for a property, such as quotes")
    what.add_argument(
        "--span",
        dest="spans",
        action="append",
        type=_span,
        metavar="FROM:TO",
        help="search for the cells whose values differ most between these characters and the rest "
        "of the text; may be repeated",
    )
    parser.add_argument("--top", type=int, help="number of cells to find")
    parser.add_argument("--prime", help="text that the model reads first")
    add_model_option(parser)
    return parser


def _read(file: Path) -> str:
    """Return the text of a UTF-8 file, or of standard input."""
    if str(file) == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return io.TextIOWrapper(sys.stdin.buffer, "utf-8").read()
    return file.read_text("utf-8")


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
    return f"cannot be read: {error.strerror}"


def _cell(text: str) -> Cell:
    layer, cell = _pair(text, "LAYER:CELL, such as 1:293")
    return {"layer": layer, "cell": cell}


def _span(text: str) -> tuple[int, int]:
    return _pair(text, "FROM:TO, such as 0:5")


def _pair(text: str, expected: str) -> tuple[int, int]:
    try:
        first, second = map(int, text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}") from error
    return first, second


def _rows(text: str, result: Cells) -> Iterator[tuple[object, ...]]:
    cells = result["cells"]
    if "correlation" in cells[0]:
        yield "layer", "cell", "correlation"
        for cell in cells:
            yield cell["layer"], cell["cell"], cell["correlation"]
        return
    yield "character", *(f"{cell['layer']}:{cell['cell']}" for cell in cells)
    for character, *values in zip(text, *(cell["values"] for cell in cells), strict=True):
        yield ascii(character), *values
