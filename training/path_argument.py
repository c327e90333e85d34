"""Path argument: the type of command-line arguments that name a file or a folder."""

from __future__ import annotations

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """Return the path. An empty one is refused: it would stand for the working directory.

    Raises:
        ArgumentTypeError: if the path is empty, as that from an unset shell variable is.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return Path(text)
