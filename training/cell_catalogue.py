"""Cell catalogue: finds the cells of a network that track properties of a text.

Karpathy, Johnson and Fei-Fei (2015), "Visualizing and Understanding Recurrent Networks", found such
cells by eye. This module finds them by correlation.

Shape letters: T steps, B passages, P properties, C cells of all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from model.cells.catalogue import Catalogue, TrackedCell
from model.cells.correlation import CellCorrelation, Floats, strongest
from model.checkpoints.checkpoint import load_checkpoint, save_cells
from model.errors import TrainingError
from model.pytorch.lstm_layer import State
from model.pytorch.network import CharLSTM
from model.text.properties import PROPERTIES
from model.text.vocabulary import CorpusIds, Vocabulary
from training.cell_values import read_cells

MINIMUM_CHARACTERS = 200

MAX_CHARACTERS = 200_000  # to read in total

_PASSAGE = 5000  # characters of a passage at most
_SHORT_PASSAGE = 500  # characters of a passage at least, if the text and the run are long enough
_SHARE_OF_RUN = 0.02  # of the characters of a training run, to read for its catalogue
_DECIMALS = 4  # of a correlation
_VALUES_PER_CALL = 1 << 22  # values of cells that are held at the same time

Report = Callable[[int], None]
_Flags = npt.NDArray[np.bool_]


def find_tracked_cells(
    network: CharLSTM,
    vocabulary: Vocabulary,
    ids: CorpusIds,
    report: Report = lambda _: None,
    most: int = MAX_CHARACTERS,
) -> Catalogue:
    """Return the best cell for each property that varies in a text, strongest correlation first.

    The text is divided into up to 40 passages of at most 5,000 characters, spread over the text.
    The network reads each passage after a newline, from a zero state, as the service does. A cell's
    correlation with a property is the median over the passages in which the property varies. So a
    few passages in which the values of the property are wrong, for example because a quotation mark
    is missing, do not matter. Every second passage chooses the cells. The other passages measure
    the correlations in the result.

    Args:
        network: the network. Its training mode does not matter.
        vocabulary: the characters of the ids.
        ids: text that the network was not trained on, at least 200 characters.
        report: function to call with the number of characters read so far, of `len(ids)`.
        most: number of characters to read at most, at least 200.

    Raises:
        TrainingError: if the text is too short.
    """
    if len(ids) < MINIMUM_CHARACTERS:
        raise TrainingError(
            f"the text to read has {len(ids)} characters; the catalogue of cells needs at least "
            f"{MINIMUM_CHARACTERS}: use more text"
        )
    passages = divide(vocabulary.decode(ids), most)
    correlations_BPC, varies_BP = _correlate(network, vocabulary, passages, report)
    found = [
        _best(name, correlations_BPC[varies_BP[:, p], p], np.flatnonzero(varies_BP[:, p]), network)
        for p, name in enumerate(PROPERTIES)
    ]
    catalogue = [tracked for tracked in found if tracked is not None]
    return tuple(sorted(catalogue, key=lambda tracked: -abs(tracked.correlation)))


def add_catalogue(
    path: Path,
    ids: CorpusIds,
    device: torch.device,
    trained: int,
    report: Report = lambda _: None,
) -> None:
    """Add the catalogue to the checkpoint of a training run, unless it has one.

    It reads up to 2% of the number of characters that the run has read, so that its time does not
    matter. Nothing is added if the text has fewer than 200 characters.

    Args:
        path: the checkpoint file.
        ids: the validation text, in the vocabulary of the checkpoint.
        device: device to compute on.
        trained: number of characters that the run has read.
        report: function to call often during the search, first with 0. An exception that it raises
            ends the search.

    Raises:
        CheckpointError: if the file cannot be read or written.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.cells or len(ids) < MINIMUM_CHARACTERS:
        return
    report(0)
    most = min(max(MINIMUM_CHARACTERS, int(trained * _SHARE_OF_RUN)), MAX_CHARACTERS)
    network = CharLSTM.of(checkpoint).to(device)
    cells = find_tracked_cells(network, checkpoint.vocabulary, ids, report, most)
    save_cells(path, cells, checkpoint.hash)


def divide(text: str, most: int = MAX_CHARACTERS) -> list[str]:
    """Return at least two passages of a text, of at most 5,000 characters each and `most` in total.

    The passages are spread over the text. A passage begins after a blank line if there is one
    nearby, otherwise at the beginning of a line, otherwise anywhere. To read less, the passages
    become shorter before they become fewer: the network reads all of them at the same time.
    """
    longest = min(len(text), MAX_CHARACTERS) // _PASSAGE
    count = max(2, min(longest, most // _SHORT_PASSAGE))
    length = min(_PASSAGE, most // count)
    spacing = len(text) // count
    begins = [_beginning(text, i * spacing, i * spacing + spacing // 2) for i in range(count)]
    ends = [*begins[1:], len(text)]
    return [text[begin : min(begin + length, end)] for begin, end in zip(begins, ends, strict=True)]


def _beginning(text: str, first: int, last: int) -> int:
    for mark in ("\n\n", "\n"):
        if (found := text.find(mark, first, last)) >= 0:
            return found + len(mark)
    return first


def _correlate(
    network: CharLSTM, vocabulary: Vocabulary, passages: Sequence[str], report: Report
) -> tuple[Floats, _Flags]:
    """Return the correlations of each passage (B, P, C), and which properties vary in it (B, P)."""
    ids_TB = _padded_ids(vocabulary, passages)
    properties = [np.stack([of(text) for of in PROPERTIES.values()], axis=1) for text in passages]
    cells = network.config.layers * network.config.hidden_size
    collected = [CellCorrelation(cells, len(PROPERTIES)) for _ in passages]
    steps = max(1, _VALUES_PER_CALL // (cells * len(passages)))
    state = _start(network, vocabulary, len(passages))
    for first in range(0, len(ids_TB), steps):
        piece_TB = ids_TB[first : first + steps]
        values_TBLH, state = read_cells(network, piece_TB, state)
        values_TBC = values_TBLH.flatten(2).cpu().numpy()
        for row, properties_TP in enumerate(properties):
            part_TP = properties_TP[first : first + steps]
            collected[row].add(values_TBC[: len(part_TP), row], part_TP)
        report(min(first + steps, len(ids_TB)) * len(passages))
    return (
        np.stack([one.coefficients() for one in collected]),
        np.stack([one.varies for one in collected]),
    )


def _start(network: CharLSTM, vocabulary: Vocabulary, passages: int) -> State:
    """Return the state after a newline, with which the service starts to read a text too."""
    zeros = network.zero_state(passages)
    return read_cells(network, torch.full((1, passages), vocabulary.start_id), zeros)[1]


def _padded_ids(vocabulary: Vocabulary, passages: Sequence[str]) -> torch.Tensor:
    """Return the passages as columns. Zeros fill the ends of the shorter ones."""
    ids_TB = torch.zeros(max(map(len, passages)), len(passages), dtype=torch.int64)
    for row, passage in enumerate(passages):
        ids_TB[: len(passage), row] = torch.from_numpy(vocabulary.encode(passage))
    return ids_TB


def _best(
    name: str, correlations_BC: Floats, passages_B: npt.NDArray[np.int64], network: CharLSTM
) -> TrackedCell | None:
    """Return the best cell for a property. None if it does not vary in both kinds of passages."""
    chooses = passages_B % 2 == 0
    if not chooses.any() or chooses.all():
        return None
    best = int(strongest(np.median(correlations_BC[chooses], axis=0), 1)[0])
    measured = float(np.median(correlations_BC[~chooses, best]))
    layer, cell = divmod(best, network.config.hidden_size)
    return TrackedCell(name, layer, cell, round(measured, _DECIMALS))
