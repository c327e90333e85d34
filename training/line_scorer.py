"""Line scorer: the scores of lines, some of which may have characters that the model lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from model.choice.scores import Numbers
from model.decoding.text_scoring import Texts
from model.text.folding import fold
from model.text.vocabulary import UNKNOWN, Vocabulary
from training.score import Scorer

UNKNOWN_CHOICES = ("reject", "skip", "fold")
FIELDS = ("nats", "bits", "bits_per_character", "characters")

Row = dict[str, float | str | None]


class LineScorer:
    """Scores lines of text.

    Args:
        vocabulary: the vocabulary of a model.
        scorer: what computes the model's scores.
        unknown: what happens to characters that the model does not know: "reject", "skip" leaves
            them out, and "fold" replaces quotation marks, dashes and accented letters.
    """

    def __init__(self, vocabulary: Vocabulary, scorer: Scorer, unknown: str) -> None:
        if unknown not in UNKNOWN_CHOICES:
            raise ValueError(f"unknown: expected one of {UNKNOWN_CHOICES}, got {unknown!r}")
        self._vocabulary, self._scorer, self._unknown = vocabulary, scorer, unknown

    def read(self, lines: list[str]) -> list[str]:
        """Return the lines as the model reads them."""
        whole = "".join(lines)
        if self._unknown == "reject" or self._vocabulary.find_unscorable(whole) < 0:
            return lines
        if self._unknown == "fold":
            return [fold(line, self._vocabulary) for line in lines]
        left_out = self._vocabulary.unknown_characters(whole) | {UNKNOWN}
        table = dict.fromkeys(map(ord, left_out))
        return [line.translate(table) for line in lines]

    def score(self, lines: Sequence[str]) -> Numbers:
        """Return the nats of each line that `read` has returned, NaN if it cannot be scored."""
        lengths_L = np.array([len(line) for line in lines], dtype=np.int64)
        whole = "".join(lines)
        unscorable = self._vocabulary.unscorable_positions(whole)
        refused = np.unique(np.searchsorted(np.cumsum(lengths_L), unscorable, side="right"))
        if len(refused):
            lengths_L[refused] = 0
            whole = "".join(line for line, n in zip(lines, lengths_L, strict=True) if n)
        nats_L = np.zeros(len(lines))
        texts = Texts(self._vocabulary.encode(whole), lengths_L[lengths_L > 0])
        nats_L[lengths_L > 0] = self._scorer.score(texts).nats_T
        nats_L[refused] = np.nan
        return nats_L

    def check(self, line: str) -> None:
        """Raise UnknownCharacterError if a line that `read` has returned cannot be scored."""
        self._vocabulary.encode_scored(line)


def row_of(nats: float, line: str) -> Row:
    """Return the numbers of a line. Those that it does not have are None."""
    if math.isnan(nats):
        return {"nats": None, "bits": None, "bits_per_character": None, "characters": len(line)}
    bits = nats / math.log(2)
    mean = bits / len(line) if line else None
    return {"nats": nats, "bits": bits, "bits_per_character": mean, "characters": len(line)}
