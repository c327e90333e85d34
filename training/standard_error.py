"""Standard error: the messages and the progress of a command. Python sets it to None if closed."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream is a terminal. A closed one, which is None, is not."""
    return stream is not None and stream.isatty()


def print_error(message: str) -> None:
    """Print a message on standard error, or nothing if it is closed."""
    if sys.stderr is not None:  # print(file=None) would write to standard output
        with suppress(OSError):  # nobody reads it
            print(message, file=sys.stderr)
