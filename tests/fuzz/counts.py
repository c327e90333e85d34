"""Counts: what a fuzzer tried, what came of it, and the faults that it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counts:
    """The counts of one fuzzer.

    Attributes:
        tries: number of tries by kind.
        results: number of results by kind, for example by the status of a response.
        wrong: descriptions of the faults.
    """

    tries: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise AssertionError with the first faults, if there are any."""
        assert not self.wrong, "\n".join([f"{len(self.wrong):,} faults:", *self.wrong[:10]])

    def __str__(self) -> str:
        tries, results = (
            ", ".join(f"{count:,} {name}" for name, count in counter.most_common())
            for counter in (self.tries, self.results)
        )
        return f"tried: {tries}\nresults: {results}"
