"""Start the program: `python -m charstream_client`, or `python path/to/charstream_client`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Run the program. Return the exit status. Ctrl-C ends it with an empty line."""
    try:
        return _run()
    except KeyboardInterrupt:
        if sys.stderr is not None:  # `print` would use standard output
            print(file=sys.stderr)
        return 130


def _run() -> int:
    package = __package__ or _package_of_folder()
    try:
        program = import_module(f"{package}.program")
    except ImportError as error:
        if error.name == package:  # httpx is missing
            sys.exit(str(error))
        raise
    status: int = program.main()
    return status


def _package_of_folder() -> str:
    """Make the folder importable as a package, and return the package's name.

    Python does not treat the folder as a package if it is started by its path.
    """
    folder = Path(__file__).resolve().parent
    sys.path[0] = str(folder.parent)
    return folder.name


if __name__ == "__main__":
    sys.exit(main())
