"""The cells command: finds the cells that track properties of a text."""

from __future__ import annotations

import argparse
import dataclasses
import json

import torch

from model.cells.catalogue import Catalogue
from model.checkpoints.checkpoint import load_checkpoint, save_cells
from model.decoding.selection import choose_device
from model.pytorch.network import CharLSTM
from model.text.properties import PROPERTIES
from training.cell_catalogue import find_tracked_cells
from training.evaluate_command import validation_ids
from training.progress import evaluation_progress


def cells(options: argparse.Namespace) -> int:
    """Add the catalogue of cells to a checkpoint, and print it."""
    checkpoint = load_checkpoint(options.checkpoint)
    ids, _ = validation_ids(checkpoint.vocabulary, options.text)
    network = CharLSTM.of(checkpoint).to(torch.device(choose_device(options.device)))
    with evaluation_progress(len(ids), "Reading") as report:
        catalogue = find_tracked_cells(network, checkpoint.vocabulary, ids, report)
    save_cells(options.checkpoint, catalogue, checkpoint.hash)
    if options.json:
        print(json.dumps({"cells": [dataclasses.asdict(tracked) for tracked in catalogue]}))
    else:
        print(_as_table(catalogue))
    return 0


def _as_table(catalogue: Catalogue) -> str:
    lines = [f"{'property':<20}layer   cell  correlation"]
    lines += [
        f"{tracked.property:<20}{tracked.layer:>5}{tracked.cell:>7}{tracked.correlation:>13.4f}"
        for tracked in catalogue
    ]
    missing = PROPERTIES.keys() - {tracked.property for tracked in catalogue}
    lines += [f"{name:<20}does not vary in this text" for name in PROPERTIES if name in missing]
    return "\n".join(lines)
