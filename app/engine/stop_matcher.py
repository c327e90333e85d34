"""StopMatcher: find the first stop string in a stream of ids."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence


class StopMatcher:
    """Holds back characters that may be the beginning of a stop string.

    The text ends before the stop string. If several are complete at the same character, the
    longest one applies. The time per character does not depend on the length of the strings
    (Knuth, Morris and Pratt 1977, "Fast Pattern Matching in Strings").

    Args:
        stops: ids of each stop string, none of them empty.
    """

    def __init__(self, stops: Sequence[tuple[int, ...]]) -> None:
        self._stops = [(stop, _borders(stop)) for stop in stops]
        self._matched = [0] * len(stops)  # length of each stop's prefix that ends the text
        self._held: list[int] = []

    def feed(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """Add ids. Return the ids that certainly belong to the text, and whether a stop matched."""
        released: list[int] = []
        for character in ids:
            self._held.append(character)
            complete = self._match(character)
            keep = complete or max(self._matched)
            cut = len(self._held) - keep
            released += self._held[:cut]
            del self._held[:cut]
            if complete:
                self._held.clear()
                return released, True
        return released, False

    def flush(self) -> list[int]:
        """Return the ids held back. Call this when the text ends without a stop string."""
        held, self._held = self._held, []
        return held

    def _match(self, character: int) -> int:
        """Advance every stop by one id; return the length of the longest complete one, or 0."""
        for index, (stop, borders) in enumerate(self._stops):
            matched = self._matched[index]
            while matched and stop[matched] != character:
                matched = borders[matched - 1]
            self._matched[index] = matched + (stop[matched] == character)
        lengths = [len(stop) for stop, _ in self._stops]
        return max(n if m == n else 0 for m, n in zip(self._matched, lengths, strict=True))


@functools.lru_cache(maxsize=64)  # the texts of a request share them
def _borders(stop: tuple[int, ...]) -> array[int]:
    """Return the length of the longest proper border of each prefix of a string."""
    borders = array("i", [0])
    for character in stop[1:]:
        size = borders[-1]
        while size and stop[size] != character:
            size = borders[size - 1]
        borders.append(size + (stop[size] == character))
    return borders
