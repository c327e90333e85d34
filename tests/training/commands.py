"""A text, flags of a small network, and the train command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

TEXT = "All happy families are alike; every unhappy family is unhappy in its own way.\n" * 120
# With a precision, because finding the faster one takes seconds, and few validations, because each
# one writes files.
SMALL = ["--hidden-size", "16", "--steps", "20", "--streams", "4", "--precision", "fp32"]
SMALL += ["--validations", "3"]


def start_python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Python in a process of its own, on one CPU thread."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def run_training(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return start_python(*launcher, "-m", "training", "train", *arguments)


def read_until(process: subprocess.Popen[Any], word: str, count: int = 1) -> None:
    """Read what a process shows up to the line with a word, or to its `count`-th such line."""
    assert process.stdout is not None
    for line in process.stdout:
        count -= word in line
        if count == 0:
            return
