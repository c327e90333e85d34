"""A text, flags of a small network, and the train command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

TEXT = "All happy families are alike; every unhappy family is unhappy in its own way.\n" * 120
# With a precision, because finding the faster one takes seconds, and few validations, because each
# one writes files.
SMALL = ["--hidden-size", "16", "--steps", "20", "--streams", "4", "--precision", "fp32"]
SMALL += ["--validations", "3"]


def run_training(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command in a process of its own, on one CPU thread."""
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "training", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
