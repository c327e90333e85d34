"""The program that starts the server: python -m app."""

from __future__ import annotations

import argparse
import os
import signal


def main() -> None:
    """Serve until a signal arrives. During startup, SIGINT and SIGTERM end the process at once."""
    argparse.ArgumentParser(
        prog="python -m app",
        description="Serve a checkpoint over HTTP.",
        epilog="There are no options. Set environment variables such as CHARSTREAM_PORT and "
        "CHARSTREAM_CHECKPOINT instead. docs/configuration.md lists them.",
    ).parse_args()
    # Set before the slow imports: process 1 of a container has no default action for SIGTERM, and
    # Ctrl-C would print where in the imports it arrived.
    # Do not raise an exception here: an import in progress might catch it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    if hasattr(signal, "SIGHUP"):  # it waits until the server can reload
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    from app.server.server import serve

    serve()


if __name__ == "__main__":
    main()
