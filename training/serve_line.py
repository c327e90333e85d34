"""Serve line: the line to paste into a shell to serve a checkpoint."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def serve_line(checkpoint: Path) -> str:
    """Return the line that serves a checkpoint with the Python that runs this process."""
    return f"CHARSTREAM_CHECKPOINT={shlex.quote(str(checkpoint))} {shlex.quote(_python())} -m app"


def _python() -> str:
    """Return the path of the interpreter, relative if it is below the working directory."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
