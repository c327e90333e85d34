"""The command line: python -m training train|evaluate|sample|corpus|import."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from training.command_line import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
