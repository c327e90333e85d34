r"""Character sets: which characters of a vocabulary the parts of a pattern match.

Python's own matcher decides about categories such as `\w` and about letters whose case is ignored.

Shape letters: Z sets, C classes, V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.errors import PatternError, describe_character
from model.text.vocabulary import UNKNOWN, Vocabulary

MAX_MEMBERSHIPS = 1 << 22  # different sets and ranges, times characters of the vocabulary
MAX_CASELESS = 64  # different characters and sets whose case is ignored
MAX_CASELESS_POINTS = 20_000  # code points of their ranges; every part of a set counts at least 20
_MAX_LISTED = 10  # missing characters in a message

Members = npt.NDArray[np.bool_]  # (V,), whether each character is in a set


class CharacterClasses(NamedTuple):
    """Classes of characters that no set tells apart, numbered from 0."""

    class_of_V: npt.NDArray[np.int32]  # the class of each character
    of_set: list[list[int]]  # the classes that each set consists of
    number: int


class CharacterSets:
    """The different characters and sets of an expression, numbered from 0.

    Args:
        vocabulary: the characters of the model.
        banned: ids of characters that no set has.
        matcher: function that compiles an item of Python's parse tree, with flags.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        banned: Collection[int],
        matcher: Callable[[Any, Any, int], re.Pattern[str]],
    ) -> None:
        self._vocabulary, self._matcher = vocabulary, matcher
        self._codes_V = np.array(vocabulary.characters).view(np.uint32)
        self._usable_V = self._codes_V != ord(UNKNOWN)
        self._usable_V[list(banned)] = False
        self._text = "".join(vocabulary.characters)
        self._cased = "".join(c for c in vocabulary.characters if c.lower() != c.upper())
        self._numbers: dict[tuple[object, ...], int] = {}
        self._members: list[Members] = []
        self._categories: dict[tuple[object, ...], Members] = {}
        self._ranges = self._caseless = self._caseless_points = 0
        self._missing: set[str] = set()

    def number(self, kind: Any, value: Any, flags: int) -> int:
        """Return the number of an item of Python's parse tree that matches one character.

        Raises:
            PatternError: if the expression has too many different sets.
        """
        # The tree keeps its values alive, so an id does not change its meaning.
        key = kind, value if isinstance(value, int) else id(value), flags
        if key not in self._numbers:
            content = kind, tuple(value) if isinstance(value, list) else value, flags, "content"
            if content not in self._numbers:
                self._add(kind, value, flags)
                self._numbers[content] = len(self._members) - 1
            self._numbers[key] = self._numbers[content]
        return self._numbers[key]

    def emptiness(self) -> list[bool]:
        """Return for each set whether it has no character that a text may have."""
        return [not members_V.any() for members_V in self._members]

    def no_text_error(self) -> PatternError:
        """Return the error of an expression that matches no text."""
        if not self._missing:
            return PatternError("matches no text of the model's characters")
        characters = sorted(self._missing)
        listed = ", ".join(map(describe_character, characters[:_MAX_LISTED]))
        rest = len(characters) - _MAX_LISTED
        more = f" and {rest} more" if rest > 0 else ""
        return PatternError(f"needs characters that the model cannot write: {listed}{more}")

    def classes(self) -> CharacterClasses:
        """Return the largest classes that do not cross the border of any set."""
        members_ZV = np.array([*self._members, np.zeros(len(self._usable_V), np.bool_)])
        packed = np.ascontiguousarray(np.packbits(members_ZV, axis=0).T)
        keys = packed.view(f"V{packed.shape[1]}").ravel().tolist()
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        class_of_V = np.array([numbers[key] for key in keys], np.int32)
        _, first_C = np.unique(class_of_V, return_index=True)
        of_set = [np.flatnonzero(members_C).tolist() for members_C in members_ZV[:, first_C]]
        return CharacterClasses(class_of_V, of_set, len(numbers))

    def _add(self, kind: Any, value: Any, flags: int) -> None:
        items = value if kind.name == "IN" else [(kind, value)]
        self._ranges += sum(name.name == "RANGE" for name, _ in items)
        if (len(self._members) + 1 + self._ranges) * len(self._usable_V) > MAX_MEMBERSHIPS:
            raise PatternError("has too many different characters, sets and ranges; simplify it")
        members_V = self._matched(items, flags)
        if flags & re.IGNORECASE:
            self._count_caseless(items)
            members_V[self._vocabulary.encode(self._cased)] = False
            members_V |= self._found(kind, value, flags, self._cased)
        self._members.append(members_V & self._usable_V)
        if not self._members[-1].any():
            self._missing.update(_named(*items[0]))

    def _matched(self, items: Any, flags: int) -> Members:
        """Return which characters some items match that do not ignore case."""
        literals = "".join(chr(part) for name, part in items if name.name == "LITERAL")
        members_V = self._having(literals)
        for kind, value in items:
            name = kind.name
            if name == "RANGE":
                members_V |= (self._codes_V >= value[0]) & (self._codes_V <= value[1])
            elif name == "NOT_LITERAL":
                members_V |= self._codes_V != value
            elif name in ("ANY", "CATEGORY"):
                key = name, value, flags & ~re.IGNORECASE
                if key not in self._categories:
                    self._categories[key] = self._found(kind, value, key[2], self._text)
                members_V |= self._categories[key]
        return ~members_V if items[0][0].name == "NEGATE" else members_V

    def _found(self, kind: Any, value: Any, flags: int, text: str) -> Members:
        return self._having("".join(self._matcher(kind, value, flags).findall(text)))

    def _having(self, text: str) -> Members:
        members_V = np.zeros(len(self._usable_V), np.bool_)
        members_V[self._vocabulary.encode_known(text)] = True
        return members_V

    def _count_caseless(self, items: Any) -> None:
        widths = [part[1] - part[0] for name, part in items if name.name == "RANGE"]
        self._caseless += 1
        self._caseless_points += sum(widths) + 20 * len(items)
        if self._caseless > MAX_CASELESS or self._caseless_points > MAX_CASELESS_POINTS:
            raise PatternError(
                "ignores the case of too many different characters, or of too wide ranges"
            )


def _named(kind: Any, value: Any) -> list[str]:
    """Return the first character that an item of the expression names, if it names one."""
    if kind.name == "LITERAL":
        return [chr(value)]
    return [chr(value[0])] if kind.name == "RANGE" else []
