"""Set cost: how long CPython takes to compile a character or a set of a regular expression."""

from __future__ import annotations

import re
from typing import Any

# The compiler reads every code point below _WIDE_END of each range. If a set is not within Latin-1,
# it makes a table of all code points below _WIDE_END. The matcher looks through those above.
_WIDE_END, _RANGE_POINTS = 0x10000, 16  # code points, and how many of a range are one operation
_LATIN_1_END, _TABLE_OPERATIONS = 0x100, 100
_ITEMS, _COMPARISONS = 8, 1000  # how many are one operation


def set_operations(kind: Any, value: Any, flags: int, vocabulary_size: int) -> int:
    """Return the operations of about a microsecond that it takes to compile and to match.

    Args:
        kind: kind of an item of Python's parse tree.
        value: its value.
        flags: flags of the expression.
        vocabulary_size: number of characters that are matched.
    """
    operations = 5 + vocabulary_size // 10
    if str(kind) != "IN":
        return operations
    ends, beyond = [0], 0
    for name, part in ((str(name), part) for name, part in value):
        if name in ("LITERAL", "RANGE"):
            low, high = part if name == "RANGE" else (part, part)
            operations += max(0, min(high + 1, _WIDE_END) - low) // _RANGE_POINTS
            ends.append(high)
            beyond += high >= _WIDE_END
    # Ignoring case can add characters beyond Latin-1, such as U+017F for s.
    if max(ends) >= _LATIN_1_END or flags & re.IGNORECASE:
        operations += _TABLE_OPERATIONS
    return operations + len(value) // _ITEMS + beyond * vocabulary_size // _COMPARISONS
