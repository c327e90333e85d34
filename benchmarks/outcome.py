"""Outcome: what a fault cost the service and its other clients, and the limits of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

_MAX_MEGABYTES = 400  # of the server's resident memory, with the shipped model
_MAX_WAIT_MS = 150  # of another client for one character, beside a single request


@dataclass(frozen=True)
class Outcome:
    """The result of one fault.

    Attributes:
        fault: what clients did.
        result: what came of it.
        survived: whether the service did what it must.
        megabytes: peak of the server's resident memory.
        wait_ms: the longest wait of another client for one character, beside a single request.
        lost: number of characters that clients did not get.
    """

    fault: str
    result: str
    survived: bool
    megabytes: float
    wait_ms: float | None = None
    lost: int = 0

    @property
    def passed(self) -> bool:
        bounded = self.megabytes <= _MAX_MEGABYTES and (self.wait_ms or 0) <= _MAX_WAIT_MS
        return self.survived and bounded and not self.lost


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Print a row for each outcome."""
    table = Table("fault", "result", "peak memory", "longest wait", "lost", "passed")
    for outcome in outcomes:
        wait = "" if outcome.wait_ms is None else f"{outcome.wait_ms:.0f} ms"
        passed = "yes" if outcome.passed else "NO"
        memory = f"{outcome.megabytes:.0f} MB"
        table.add_row(outcome.fault, outcome.result, memory, wait, str(outcome.lost), passed)
    Console(width=140).print(table)
