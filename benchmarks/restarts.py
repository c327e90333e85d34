"""Restarts: whether EventSource gets the same text when the server restarts in mid-text.

python -m benchmarks.restarts

Needs Chromium, and for the second client Node and `npm install --prefix tests/javascript`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.browser import browser_path, running_browser
from tests.event_source import MODULES, BrowserClient, EventSourceClient, NodeClient
from tests.server import RestartingServer, RunningServer

_LENGTH = 40_000  # characters: some seconds of text
_EARLIEST, _LATEST = 1_000, 12_000  # characters after which the signal is sent
_DRAIN_SECONDS = 0.5
_STOPS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
_EXIT_STATUS = {"SIGTERM": 0, "SIGKILL": -signal.SIGKILL}

Starter = Callable[[str, int], EventSourceClient]  # from the server's URL and a seed


@dataclass(frozen=True)
class Outcome:
    """What one client had at the end of one text.

    Attributes:
        opened: number of characters that it had at each connection.
        identical: whether the text is that of POST /generate.
        failure: what the example logged as an error.
    """

    opened: list[int]
    identical: bool
    failure: str

    @property
    def in_mid_text(self) -> bool:
        """Whether the restart came after the first character and before the last one."""
        return len(self.opened) > 1 and all(0 < number < _LENGTH for number in self.opened[1:])


def main() -> None:
    """Print a table. Exit with 1 unless all texts are identical and were cut in mid-text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restarts")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--restarts", type=int, default=20, help="number for each signal")
    options = parser.parse_args()
    rows = _run(options.checkpoint, options.restarts)
    table = Table(
        "client", "restarts", "cut in mid-text", "identical texts", "cut after characters"
    )
    for (client, stop), outcomes in rows.items():
        cuts = [number for outcome in outcomes for number in outcome.opened[1:]]
        table.add_row(
            client,
            f"{len(outcomes)} x {stop}",
            str(sum(outcome.in_mid_text for outcome in outcomes)),
            str(sum(outcome.identical for outcome in outcomes)),
            f"{min(cuts, default=0):,} to {max(cuts, default=0):,} of {_LENGTH:,}",
        )
    Console(width=140).print(table)
    all_outcomes = [outcome for outcomes in rows.values() for outcome in outcomes]
    if not all(outcome.identical and outcome.in_mid_text for outcome in all_outcomes):
        sys.exit(1)


def _run(checkpoint: Path, restarts: int) -> dict[tuple[str, str], list[Outcome]]:
    """Restart the server while every client reads a text, with each signal in turn."""
    rows: dict[tuple[str, str], list[Outcome]] = {}
    chance = random.Random(1)
    with ExitStack() as stack:
        starters = _starters(stack)
        settings = {"drain_seconds": str(_DRAIN_SECONDS)}
        server = stack.enter_context(closing(RestartingServer(checkpoint, **settings)))
        for seed in range(2 * restarts):
            stop, after = list(_STOPS)[seed % 2], chance.randint(_EARLIEST, _LATEST)
            outcomes = _restart_once(server, starters, seed, stop, after)
            for name, outcome in outcomes.items():
                rows.setdefault((name, stop), []).append(outcome)
                print(f"{seed} {stop} {name}: {outcome}", file=sys.stderr)
    return rows


def _restart_once(
    server: RestartingServer, starters: dict[str, Starter], seed: int, stop: str, after: int
) -> dict[str, Outcome]:
    """Restart when every client has received a number of characters."""
    expected = _undisturbed(server.current, seed)
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(closing(start(server.current.url, seed)))
            for name, start in starters.items()
        }
        for client in clients.values():
            client.wait(lambda progress: progress.received >= after)
        status = server.restart(_STOPS[stop])
        if status != _EXIT_STATUS[stop]:
            raise RuntimeError(f"after {stop} the server exited with status {status}")
        for client in clients.values():
            client.wait(lambda progress: progress.ended)
        return {
            name: Outcome(
                client.progress.opened, client.progress.text == expected, client.progress.failure
            )
            for name, client in clients.items()
        }


def _undisturbed(server: RunningServer, seed: int) -> str:
    request = {"prime": "And Levin said,", "length": _LENGTH, "seed": seed}
    with server.client() as client:
        text: str = client.post("/generate", json=request).raise_for_status().json()["text"]
    return text


def _starters(stack: ExitStack) -> dict[str, Starter]:
    """Return a function per client that is installed, by its name and version."""
    starters: dict[str, Starter] = {}
    if browser_path() is not None:
        browser = stack.enter_context(running_browser())
        starters[f"Chromium {browser.version}"] = lambda url, seed: BrowserClient(
            browser, url, _LENGTH, seed
        )
    if shutil.which("node") and MODULES.exists():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        package = json.loads((MODULES / "eventsource" / "package.json").read_text())
        starters[f"npm eventsource {package['version']}, Node {_node_version()}"] = (
            lambda url, seed: NodeClient(folder, url, _LENGTH, seed)
        )
    if not starters:
        sys.exit("neither Chromium nor Node with npm's eventsource is installed")
    return starters


def _node_version() -> str:
    command = ["node", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip("v\n")


if __name__ == "__main__":
    main()
