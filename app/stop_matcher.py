"""StopMatcher: finds the first stop string in a stream of ids."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Holds back characters that may turn out to begin a stop string.

    The text ends before the stop string. Of several that are complete at the same character,
    the longest one counts. The time per character does not depend on the strings' lengths
    (Knuth, Morris and Pratt 1977).

    Args:
        stops: ids of each stop string, none of them empty.
    """

    def __init__(self, stops: Sequence[tuple[int, ...]]) -> None:
        self._stops = [(stop, _borders(stop)) for stop in stops]
        self._matched = [0] * len(stops)  # characters of each stop that the text now ends in
        self._held: list[int] = []

    def feed(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """Takes ids in; returns those that are certain to be text, and whether a stop was met."""
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
        """What is held back, when the text ends without a stop."""
        held, self._held = self._held, []
        return held

    def _match(self, character: int) -> int:
        """Follows every stop by one character; the length of the longest complete one, or 0."""
        for index, (stop, borders) in enumerate(self._stops):
            matched = self._matched[index]
            while matched and stop[matched] != character:
                matched = borders[matched - 1]
            self._matched[index] = matched + (stop[matched] == character)
        lengths = [len(stop) for stop, _ in self._stops]
        return max(n if m == n else 0 for m, n in zip(self._matched, lengths, strict=True))


def _borders(stop: tuple[int, ...]) -> list[int]:
    """For each beginning of a string, the length of its longest proper border."""
    borders = [0]
    for character in stop[1:]:
        size = borders[-1]
        while size and stop[size] != character:
            size = borders[size - 1]
        borders.append(size + (stop[size] == character))
    return borders
