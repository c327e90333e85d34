"""Steering: what the shipped model writes while a cell is held, as docs/cells.md reports it.

.venv/bin/python -m benchmarks.steering
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.choice.held_cell import HeldCell
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.decoding.selection import choose_precision

_CHECKPOINT = Path(__file__).parent.parent / "checkpoints" / "anna.safetensors"
_VALUES = (-2.0, None, 2.0)
_SEEDS = range(1, 6)
_LENGTH = 2000
_TEMPERATURE = 0.5
_PRIME = '"Well, and what did he say?" asked Levin.\n\n'
# From a straight mark that opens a quotation to the mark that follows it, if that one closes it.
_QUOTATION = re.compile(r'(?<!\S)"(?=\S)[^"]*(?<=\S)"')


def quoted_share(text: str) -> float:
    """Return the share of a text's characters that stand in complete quotations."""
    return sum(map(len, _QUOTATION.findall(text))) / len(text)


def line_length(text: str) -> float:
    """Return the mean number of characters of a text's lines that are not empty."""
    return fmean(len(line) for line in text.split("\n") if line)


def _texts(checkpoint: Checkpoint, cell: tuple[int, int], value: float | None) -> Iterator[str]:
    decoder = Decoder(checkpoint, 1, precision=choose_precision("auto", "cpu"))
    hold = () if value is None else (HeldCell(*cell, value),)
    params = SamplingParams(temperature=_TEMPERATURE, hold=hold)
    prime = checkpoint.vocabulary.encode(_PRIME)
    for seed in _SEEDS:
        yield checkpoint.vocabulary.decode(decoder.generate(prime, _LENGTH, params, seed))


def _print(
    name: str, checkpoint: Checkpoint, tracked: str, measure: Callable[[str], float]
) -> None:
    cells = {found.property: (found.layer, found.cell) for found in checkpoint.cells}
    cell = cells[tracked]
    for value in _VALUES:
        measured = [measure(text) for text in _texts(checkpoint, cell, value)]
        held = "free" if value is None else f"{value:+g}"
        each = " ".join(f"{one:.2f}" for one in measured)
        print(f"{name}, layer {cell[0]}, cell {cell[1]}, {held}: {fmean(measured):.2f} ({each})")


def main() -> None:
    """Print both measures with their cell at -2, free and at +2, for each of five seeds."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    checkpoint = load_checkpoint(_CHECKPOINT)
    _print("share in quotations", checkpoint, "quotes", quoted_share)
    _print("characters per line", checkpoint, "line_position", line_length)


if __name__ == "__main__":
    main()
