"""Character classes: characters that no part of a pattern tells apart share a column of its table.

Shape letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.patterns.work_limit import WorkLimit


class CharacterClasses(NamedTuple):
    """The classes of a vocabulary, numbered from 0."""

    class_of_V: npt.NDArray[np.int32]  # the class of each character
    of_set: dict[frozenset[str], list[int]]  # the classes that each set consists of
    number: int


def character_classes(
    sets: Iterable[frozenset[str] | None], ids: Mapping[str, int], size: int, work: WorkLimit
) -> CharacterClasses:
    """Return the largest classes that do not cross the border of any set.

    Args:
        sets: sets of characters. None stands for no set.
        ids: the ids of the characters that may be in the sets.
        size: number of characters of the vocabulary.
        work: limit of the work.
    """
    distinct = [found for found in dict.fromkeys(sets) if found]
    memberships = [0] * size  # for each character, the sets that it belongs to, as bits
    for number, found in enumerate(distinct):
        work.add(1 + len(found) // 10)
        for character in found:
            memberships[ids[character]] |= 1 << number
    numbers = {member_of: number for number, member_of in enumerate(dict.fromkeys(memberships))}
    of_set: dict[frozenset[str], list[int]] = {found: [] for found in distinct}
    for member_of, number in numbers.items():
        for index in bits_of(member_of):
            of_set[distinct[index]].append(number)
    class_of_V = np.array([numbers[member_of] for member_of in memberships], np.int32)
    return CharacterClasses(class_of_V, of_set, len(numbers))


def bits_of(number: int) -> Iterator[int]:
    """Yield the positions of the bits of a number that are 1, the lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
