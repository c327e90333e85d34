"""The program that starts the server: python -m app."""

from __future__ import annotations

import argparse
import os
import signal

_HINT = (
    "There are no options. Set environment variables such as CHARSTREAM_PORT and "
    "CHARSTREAM_CHECKPOINT instead. docs/configuration.md lists them."
)


def main() -> None:
    """Serve until a signal arrives. During startup, SIGINT and SIGTERM end the process at once."""
    parser = argparse.ArgumentParser(
        prog="python -m app", description="Serve a checkpoint over HTTP.", epilog=_HINT
    )
    if unknown := parser.parse_known_args()[1]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}. {_HINT}")
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
