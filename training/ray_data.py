"""Ray Data: scores the rows of a dataset, with a model in each worker.

    pip install '.[ray]'

`ray.data.Dataset.map_batches` takes the class. docs/scoring.md has an example.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.selection import choose_device
from training.line_scorer import FIELDS, LineScorer, row_of
from training.score import Scorer

Column = npt.NDArray[np.generic]


class ScoreRows:
    """Adds the columns nats, bits, bits_per_character and characters to batches.

    A number that a row does not have is NaN: `bits_per_character` of an empty text, and all but
    `characters` of a text with characters that the model does not know.

    Args:
        checkpoint: path of the model, the same on each machine.
        column: name of the column with the texts, which are strings.
        prime: text that the model reads before each text.
        unknown: what happens to characters that the model does not know: "reject", "skip" leaves
            them out, and "fold" replaces quotation marks, dashes and accented letters.
        device: "auto", "cpu" or "cuda".
        threads: number of threads on a CPU. Reserve as many CPUs for each worker.
    """

    def __init__(
        self,
        checkpoint: str,
        column: str = "text",
        prime: str = "",
        unknown: str = "reject",
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        loaded = load_checkpoint(Path(checkpoint))
        scorer = Scorer(loaded, prime, choose_device(device), threads=threads)
        self._scorer, self._column = LineScorer(loaded.vocabulary, scorer, unknown), column

    def __call__(self, batch: dict[str, Column]) -> dict[str, Column]:
        """Return a batch with the scores of its texts."""
        lines = self._scorer.read(batch[self._column].tolist())
        rows = list(map(row_of, self._scorer.score(lines).tolist(), lines))
        types = dict.fromkeys(FIELDS, np.float64) | {"characters": np.int64}
        return batch | {name: np.array([row[name] for row in rows], types[name]) for name in FIELDS}
