"""What the programs of the client share: the options of the connection, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import httpx

from .client import DEFAULT_URL, Client
from .errors import CharstreamError
from .standard_streams import discard_output, escape_characters, report


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


def exit_status(url: str, api_key: str | None, work: Callable[[Client], None]) -> int:
    """Do the work with a client. Return the exit status; print an error if there is one."""
    if sys.stdout is None:
        report("standard output is closed, expected a terminal, a file or a pipe")
        return 1
    escape_characters()
    try:
        with _client(url, api_key) as client:
            work(client)
        sys.stdout.flush()
    except CharstreamError as error:
        report(f"\n{url}: {error}")
        return 1
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        discard_output()
    except OSError as error:
        discard_output()
        report(f"\nstandard output: cannot be written: {error.strerror}")
        return 1
    return 0


def _client(url: str, api_key: str | None) -> Client:
    try:
        return Client(url, api_key)
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:  # for its variables
        message = f"a variable of httpx, such as HTTP_PROXY or SSL_CERT_FILE, is unusable: {error}"
        raise CharstreamError(message) from error
