"""The server: python -m app."""

from __future__ import annotations

import argparse
import os
import signal


def main() -> None:
    """Serves until told to stop; told so before it serves, it ends at once."""
    argparse.ArgumentParser(
        prog="python -m app",
        description="Serve a checkpoint over HTTP.",
        epilog="There are no options: CHARSTREAM_* environment variables set everything, such as "
        "CHARSTREAM_PORT and CHARSTREAM_CHECKPOINT. README.md lists them.",
    ).parse_args()
    # Set before the slow imports: process 1 of a container has no default that would end it. An
    # exception would be one of an import, which may take it for its own.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if hasattr(signal, "SIGHUP"):  # a wish to reload what is being loaded
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from app.server import serve

    serve()


if __name__ == "__main__":
    main()
