"""Pattern: a regular expression, compiled for the characters of a vocabulary.

The result is a table: from a state, each character leads to another state or nowhere. From every
state, a match can be reached.

Shape letters: N states, C classes of characters, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import PatternError
from model.patterns.syntax import END, Positions, positions_of
from model.text.vocabulary import Vocabulary

NOWHERE = -1  # in a table: the pattern does not allow the character
FINAL = -2  # in a table: the pattern allows the character, and nothing can follow it
ENDED = -1  # the state of a text that has ended

MAX_ENTRIES = 1 << 18  # states times classes: 1 MiB
MAX_STEPS = 15_000  # positions and classes of all states, and stand-ins that are replaced

Table = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Pattern:
    """A deterministic automaton that reads the characters of a text. State 0 is the first.

    Characters that no part of the expression tells apart form a class.
    """

    next_NC: Table  # the state after a character of a class, NOWHERE or FINAL
    class_of_V: Table  # the class of each character
    may_end_N: Table  # 1 if the text may end in the state, otherwise 0

    @property
    def arrays(self) -> tuple[Table, Table, Table]:
        """The arrays, in the order of the native kernel's fields."""
        return self.next_NC, self.class_of_V, self.may_end_N

    @property
    def bytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(array.nbytes for array in self.arrays)


def any_text(vocabulary_size: int) -> Pattern:
    """Return a pattern that allows every text and never ends it."""
    return Pattern(
        np.zeros((1, 1), np.int32), np.zeros(vocabulary_size, np.int32), np.zeros(1, np.int32)
    )


def any_of(allowed_V: npt.NDArray[np.bool_]) -> Pattern:
    """Return a pattern of any number of the allowed characters."""
    next_NC = np.array([[0, NOWHERE]], np.int32)
    return Pattern(next_NC, np.where(allowed_V, 0, 1).astype(np.int32), np.ones(1, np.int32))


def compile_pattern(
    expression: str, vocabulary: Vocabulary, banned: Collection[int] = ()
) -> Pattern:
    """Compile a regular expression that the whole text must match.

    The time and the memory are bounded, whatever the expression is: with 10,000 characters in the
    vocabulary, to about 50 milliseconds.

    Args:
        expression: a regular expression of Python, without lookaround, backreferences, word
            boundaries, atomic groups and possessive quantifiers. `^` and `$` may be at its ends.
        vocabulary: the characters of the model.
        banned: ids of characters that the text must not have.

    Raises:
        PatternError: if the expression is not valid or not supported, is too large, or matches no
            text of the vocabulary. The message goes after the name of the field.
    """
    positions = positions_of(expression, vocabulary, banned)
    alive = _alive(positions)
    if not alive & positions.first:
        raise positions.characters.no_text_error()
    return _States(positions, alive).pattern()


def _alive(positions: Positions) -> int:
    """Return the set of positions from which the end can be reached.

    A position's number is higher than those on its way to the end, so one pass is enough.
    """
    alive = END
    is_empty = positions.characters.emptiness()
    for position in range(1, len(positions.sets)):
        number = positions.sets[position]
        if positions.following[position] & alive and (number is None or not is_empty[number]):
            alive |= 1 << position
    return alive


def _bits_of(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


class _States:
    """Finds the states, which are sets of positions.

    This is the subset construction (Rabin and Scott 1959, "Finite Automata and Their Decision
    Problems").
    """

    def __init__(self, positions: Positions, alive: int) -> None:
        self._positions, self._alive = positions, alive
        self._classes = positions.characters.classes()
        self._stand_ins = (
            sum(1 << position for position, number in enumerate(positions.sets) if number is None)
            & ~END
        )
        self._following: dict[int, int] = {}  # position -> what `_resolved` returns
        self._found: list[int] = []
        self._numbers: dict[int, int] = {}  # set of positions -> state
        self._steps = 0

    def pattern(self) -> Pattern:
        """Return the pattern, with all states that can be reached from the first."""
        self._entry(self._resolved(self._positions.first))
        states, classes, entries = [], [], []
        for state, members in enumerate(self._found):  # which grows meanwhile
            for number, after in self._targets(members).items():
                states.append(state)
                classes.append(number)
                entries.append(self._entry(after))
        next_NC = np.full((max(1, len(self._found)), self._classes.number), NOWHERE, np.int32)
        next_NC[states, classes] = entries
        may_end_N = np.array([members & END for members in self._found or [END]], np.int32)
        return Pattern(next_NC, self._classes.class_of_V, may_end_N)

    def _targets(self, state: int) -> dict[int, int]:
        """Return the set of positions after each class that the pattern allows."""
        after_set: dict[int | None, int] = {}
        for position in _bits_of(state & ~END):
            number = self._positions.sets[position]
            after_set[number] = after_set.get(number, 0) | self._after(position)
            self._count(1)
        targets: dict[int, int] = {}
        for number, after in after_set.items():
            classes = self._classes.of_set[number or 0]
            self._count(len(classes))
            for one in classes:
                targets[one] = targets.get(one, 0) | after
        return targets

    def _entry(self, state: int) -> int:
        """Return the entry of the table for a set of positions. Number the set if it is new."""
        if state == END:
            return FINAL
        number = self._numbers.setdefault(state, len(self._found))
        if number == len(self._found):
            self._found.append(state)
            entries = len(self._found) * self._classes.number
            if entries > MAX_ENTRIES:
                raise PatternError(
                    f"is too large: its table has {entries} entries, and at most {MAX_ENTRIES} "
                    "are allowed; simplify it"
                )
        return number

    def _after(self, position: int) -> int:
        if position not in self._following:
            following = self._positions.following[position]
            self._following[position] = self._resolved(following)
        return self._following[position]

    def _resolved(self, members: int) -> int:
        """Replace stand-ins by what they stand for, and leave out what cannot reach the end."""
        done = 0
        while stand_ins := members & self._stand_ins & self._alive & ~done:
            done |= stand_ins
            for position in _bits_of(stand_ins):
                members |= self._positions.following[position]
                self._count(1)
        return members & self._alive & ~self._stand_ins

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise PatternError(
                f"is too large or too ambiguous: its states have more than the {MAX_STEPS} "
                "transitions that are allowed; simplify it"
            )
