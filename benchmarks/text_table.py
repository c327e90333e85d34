"""Text table: how well models of several texts predict, beside general compressors.

    python -m benchmarks.text_table data/texts/*.txt --minutes 2 5 --out runs/texts

For each text and each time, it runs `python -m training train` with the default settings, and
`evaluate`. Flags after `--` are passed to `train`. A run that has a result is not repeated, and an
interrupted training begins again. The table is printed at the end. The file table.md in the output
folder has it after every run.

All figures are bits per character. A model predicts the last tenth of the text after training on
the rest. `evaluate` computes the loss in int8, as the service does, because that is many times
faster than fp32. The difference is below 0.001 bits. For bz2 and xz, both with preset 9 and the
text in UTF-8, there are two figures:

- of the last tenth: the size of the whole text minus that of its first 90%, both compressed. This
  is what a compressor that has seen the first 90% needs for the rest, so compare it with the model.
- of the whole text: the compressed size of the whole text.
"""

from __future__ import annotations

import argparse
import bz2
import lzma
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.training_result import folder_name, result_of, text_of
from training.corpus import split

_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "bz2": lambda content: bz2.compress(content, 9),
    "xz": lambda content: lzma.compress(content, preset=9),
}

_EVALUATE_FLAGS = ("--precision", "int8")


@dataclass(frozen=True)
class TextFigures:
    """The sizes of a text, and the bits per character of each compressor."""

    name: str
    size: int  # bytes in UTF-8
    characters: int
    distinct: int  # characters
    last_tenth: Mapping[str, float]
    whole: Mapping[str, float]


def main() -> None:
    """Train on all texts, the shortest time first, and print the table."""
    flags, options = _options(sys.argv[1:])
    figures = [text_figures(path) for path in options.texts]
    bits: dict[tuple[str, float], float] = {}
    for minutes in options.minutes:
        for path in options.texts:
            loss = _bits_per_character(options, path, minutes, flags)
            bits[path.stem, minutes] = loss
            table = markdown_table(figures, bits, options.minutes)
            (options.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


def _options(arguments: Sequence[str]) -> tuple[list[str], argparse.Namespace]:
    """Return the flags after `--`, and the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.text_table",
        epilog="Arguments after -- are passed to `python -m training train`.",
    )
    parser.add_argument("texts", type=Path, nargs="+", metavar="FILE", help="text to train on")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        default=[2.0, 5.0],
        metavar="M",
        help="times of training (default 2 5)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/texts"),
        help="folder for the runs (default %(default)s)",
    )
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    if len({path.stem for path in options.texts}) < len(options.texts):
        parser.error("the names of the files must differ: the runs are named after them")
    options.minutes.sort()
    options.out.mkdir(parents=True, exist_ok=True)
    return list(arguments[end + 1 :]), options


def text_figures(path: Path) -> TextFigures:
    """Measure a text. Raises SystemExit if it cannot be read."""
    text = text_of(path)
    first, last = (part.encode() for part in split(text))
    of_last, of_whole = {}, {}
    for name, compress in _COMPRESSORS.items():
        size = len(compress(first + last))
        of_whole[name] = 8 * size / len(text)
        of_last[name] = 8 * (size - len(compress(first))) / (len(text) - len(split(text)[0]))
    return TextFigures(path.stem, len(first + last), len(text), len(set(text)), of_last, of_whole)


def _bits_per_character(
    options: argparse.Namespace, path: Path, minutes: float, flags: Sequence[str]
) -> float:
    """Return the result of a run in bits per character. It is NaN if the run failed."""
    folder = options.out / folder_name(f"{path.stem}-{minutes:g}", " ".join(flags))
    try:
        result = result_of(path, folder, f"{minutes:g}", flags, _EVALUATE_FLAGS)
    except subprocess.CalledProcessError as error:
        print(f"{path.stem}, {minutes:g} minutes: failed with exit status {error.returncode}")
        return math.nan
    return result.loss / math.log(2)


def markdown_table(
    texts: Sequence[TextFigures],
    bits: Mapping[tuple[str, float], float],
    minutes: Sequence[float],
) -> str:
    """Return a table with a row for each text. A dash stands for a missing result."""
    compressors = [f"`{name} -9`" for name in _COMPRESSORS]
    columns = [
        "text", "bytes", "characters", "distinct",
        *(f"{name}, whole text" for name in compressors),
        *(f"{name}, last tenth" for name in compressors),
        *(f"model, {time:g} minutes" for time in minutes),
    ]  # fmt: skip
    rows = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
    for text in texts:
        sizes = [f"{number:,}" for number in (text.size, text.characters, text.distinct)]
        of_models = [bits.get((text.name, time), math.nan) for time in minutes]
        figures = [*text.whole.values(), *text.last_tenth.values(), *of_models]
        rows.append([text.name, *sizes, *map(_figure, figures)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _figure(bits: float) -> str:
    return "-" if math.isnan(bits) else f"{bits:.3f}"


if __name__ == "__main__":
    main()
