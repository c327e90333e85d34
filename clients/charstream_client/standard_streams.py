"""The standard streams of the programs, which may be closed, full, or lack a character."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress


def report(message: str) -> None:
    """Print a line to standard error, unless it is closed or full."""
    if sys.stderr is not None:  # `print` would use standard output
        with suppress(OSError):
            print(message, file=sys.stderr)


def escape_characters() -> None:
    """Make standard output escape characters that its encoding lacks, instead of raising."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Let further writes have no effect: Python repeats a failed write when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
