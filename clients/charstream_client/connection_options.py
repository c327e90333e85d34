"""What the programs of the client share: the options of the connection, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from .client import DEFAULT_URL, Client
from .errors import CharstreamError


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
    try:
        with Client(url, api_key) as client:
            work(client)
    except CharstreamError as error:
        print(f"\n{url}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
