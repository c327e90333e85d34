"""What the programs of the client share: the connection, the standard streams, the exit status.

A standard stream may be closed, full, or lack a character.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import httpx

from .client import Client
from .errors import CharstreamError
from .settings import DEFAULT_URL


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add --url and --api-key to a parser."""
    parser.add_argument(
        "--url",
        default=os.environ.get("CHARSTREAM_URL", DEFAULT_URL),
        help=f"address of the server (default: CHARSTREAM_URL, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--api-key",
        default=os.environ.get("CHARSTREAM_API_KEY"),
        help="API key, if the server requires one (default: CHARSTREAM_API_KEY)",
    )


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add --model to a parser."""
    model = "name or hash of the model (default: the server's default model)"
    parser.add_argument("--model", help=model)


def exit_status(url: str, api_key: str | None, work: Callable[[Client], None]) -> int:
    """Do the work with a client. Return the exit status; print an error if there is one."""
    if sys.stdout is None:
        report("standard output is closed, expected a terminal, a file or a pipe")
        return 1
    _escape_characters()
    try:
        with _client(url, api_key) as client:
            work(client)
        sys.stdout.flush()
    except CharstreamError as error:
        report(f"\n{url}: {error}")
        return 1
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        _discard_output()
    except OSError as error:
        _discard_output()
        report(f"\nstandard output: cannot be written: {error.strerror}")
        return 1
    return 0


def _client(url: str, api_key: str | None) -> Client:
    try:
        return Client(url, api_key)
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:  # for its variables
        message = f"a variable of httpx, such as HTTP_PROXY or SSL_CERT_FILE, is unusable: {error}"
        raise CharstreamError(message) from error


def report(message: str) -> None:
    """Print a line to standard error, unless it is closed or full."""
    if sys.stderr is not None:  # `print` would use standard output
        with suppress(OSError):
            print(message, file=sys.stderr)


def _escape_characters() -> None:
    """Make standard output escape characters that its encoding lacks, instead of raising."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Let further writes have no effect: Python repeats a failed write when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
