r"""Pattern syntax: a regular expression as positions, the places in it that match one character.

Python's own parser reads the expression, and Python's own matcher says which characters a set such
as `\w` has. So an expression means what it means in Python.

The result is an automaton whose states are sets of positions: after each position, a match goes on
at the positions that may follow it (Glushkov 1961, "The abstract theory of automata"). A set is an
integer, one bit per position, so that thousands of positions are combined at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from model.errors import PatternError
from model.patterns.character_sets import CharacterSets
from model.text.vocabulary import Vocabulary

MAX_CHARACTERS = 2_500  # of an expression
MAX_ITEMS = 2_200  # characters, sets, groups and branches when repetitions are written out
_HUGE = 10**9  # items; larger numbers are not told apart
_TYPE_FLAGS = re.ASCII | re.UNICODE | re.LOCALE  # a group may replace one by another
_MAX_REASON = 200  # characters of the parser's message, which can repeat the expression

END = 1  # the set that has only position 0, the end of the text

_UNSUPPORTED = {
    "ASSERT": "lookaround",
    "ASSERT_NOT": "lookaround",
    "GROUPREF": "a backreference",
    "GROUPREF_EXISTS": "a conditional group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive quantifier",
    "AT_BEGINNING": "^ that is not at the beginning",
    "AT_BEGINNING_STRING": r"\A that is not at the beginning",
    "AT_END": "$ that is not at the end",
    "AT_END_STRING": r"\Z that is not at the end",
    "AT_BOUNDARY": r"the word boundary \b",
    "AT_NON_BOUNDARY": r"\B",
}
_BEGINNINGS = ("AT_BEGINNING", "AT_BEGINNING_STRING")
_ENDS = ("AT_END", "AT_END_STRING")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")

# A comment, an escaped character, or a set, whose first character may be a bracket.
_TOKENS = r"(?s)\\.|\(\?#[^)]*|\[(\^?(?:\\.|.)(?:\\.|[^\]\\])*)"
_VERBOSE = re.compile(r"\(\?[aiLmsu]*x")
_AMBIGUOUS = re.compile(r"(?s)^\[|^\^?+..*?(?:--|&&|~~|\|\|)")


class Positions(NamedTuple):
    """The positions of an expression, numbered from the end of the expression.

    Position 0 is the end of the text. Some positions match nothing: they are stand-ins for
    the positions that follow them, at the ends of repetitions.
    """

    sets: list[int | None]  # the number of the set that each matches; None: a stand-in
    following: list[int]  # the set of positions that may follow each position
    first: int  # the set of positions where a match begins
    characters: CharacterSets


def positions_of(expression: str, vocabulary: Vocabulary, banned: Collection[int]) -> Positions:
    """Return the positions of a regular expression over the characters of a vocabulary.

    Raises:
        PatternError: if the expression is not valid, is too large, or has parts that need a
            backtracking matcher.
    """
    if len(expression) > MAX_CHARACTERS:
        raise PatternError(f"must have at most {MAX_CHARACTERS} characters, got {len(expression)}")
    _check_sets(expression)
    try:
        parsed = _parsed(expression)
        if (size := _size(parsed)) > MAX_ITEMS:
            raise PatternError(
                f"is too large: written out, its repetitions have {size:.6g} characters, sets and "
                f"groups, and at most {MAX_ITEMS} are allowed"
            )
        return _Builder(parsed, CharacterSets(vocabulary, banned, _matcher)).build()
    except RecursionError as error:
        raise PatternError("has too many groups inside each other") from error


def _cpython() -> tuple[Any, Any]:
    """Return CPython's parser and compiler of regular expressions. They have no public names."""
    return re._parser, re._compiler  # type: ignore[attr-defined]


def _matcher(kind: Any, value: Any, flags: int) -> re.Pattern[str]:
    parser, compiler = _cpython()
    if kind.name == "CATEGORY":
        kind, value = parser.IN, [(kind, value)]
    matcher: re.Pattern[str] = compiler.compile(
        parser.SubPattern(parser.State(), [(kind, value)]), flags
    )
    return matcher


def _check_sets(expression: str) -> None:
    """Refuse sets that a later Python may read differently. Python's parser only warns of them."""
    comments = r"|#[^\n]*" if _VERBOSE.search(expression) else ""
    for token in re.finditer(_TOKENS + comments, expression):
        body = re.sub(r"(?s)\\.", "a", token[1] or "")
        if _AMBIGUOUS.match(body):
            raise PatternError(
                f"is ambiguous: the set at position {token.start()} has [, --, &&, ~~ or || in it; "
                "put a backslash before it"
            )


def _parsed(expression: str) -> Any:
    try:
        return _cpython()[0].parse(expression)
    except (re.error, OverflowError, ValueError) as error:  # a ValueError: too many digits
        reason = str(error)
        if len(reason) > _MAX_REASON:
            reason = f"{reason[:_MAX_REASON]}..."
        raise PatternError(f"is not a regular expression: {reason}") from error


def _size(items: Iterable[Any]) -> int:
    """Return the number of items. Raise PatternError for what is not supported."""
    total = 0
    for kind, value in items:
        name = kind.name
        if name in _UNSUPPORTED and not name.startswith("AT_"):
            raise _unsupported(name)
        total += 1
        if name == "SUBPATTERN":
            total += _size(value[3])
        elif name == "BRANCH":
            total += sum(1 + _size(branch) for branch in value[1])
        elif name in _REPEATS:
            least, most, body = value
            total += _size(body) * (max(least, 1) if _is_unbounded(most) else most)
        total = min(total, _HUGE)
    return total


def _is_unbounded(most: int) -> bool:
    return bool(most == _cpython()[0].MAXREPEAT)


class _Context(NamedTuple):
    flags: int
    at_beginning: bool  # whether nothing is before it
    at_end: bool  # whether nothing is after it


class _Builder:
    """Numbers the positions from the end back, because each one needs those that follow it."""

    def __init__(self, parsed: Any, characters: CharacterSets) -> None:
        self._parsed, self._characters = parsed, characters
        self._sets: list[int | None] = [None]
        self._following: list[int] = [0]

    def build(self) -> Positions:
        context = _Context(self._parsed.state.flags, at_beginning=True, at_end=True)
        first = self._sequence(self._parsed, END, context)
        return Positions(self._sets, self._following, first, self._characters)

    def _sequence(self, items: Any, after: int, context: _Context) -> int:
        """Return where a match of consecutive items begins if it goes on at `after`."""
        inside = [index for index, (kind, _) in enumerate(items) if kind.name != "AT"]
        first, last = (inside[0], inside[-1]) if inside else (len(items), 0)
        for index in range(len(items) - 1, -1, -1):
            begins = context.at_beginning and index <= first
            ends = context.at_end and index >= last
            kind, value = items[index]
            after = self._item(kind, value, after, _Context(context.flags, begins, ends))
        return after

    def _item(self, kind: Any, value: Any, after: int, context: _Context) -> int:
        name = kind.name
        if name == "SUBPATTERN":
            _, added, removed, body = value
            kept = context.flags & ~_TYPE_FLAGS if added & _TYPE_FLAGS else context.flags
            flags = (kept | added) & ~removed
            return self._sequence(body, after, context._replace(flags=flags))
        if name == "BRANCH":
            first = 0
            for branch in value[1]:
                first |= self._sequence(branch, after, context)
            return first
        if name in _REPEATS:
            inner = _Context(context.flags, at_beginning=False, at_end=False)
            least, most, body = value
            return self._repetition(least, most, body, after, inner)
        if name == "AT":
            return _anchor(value.name, after, context)
        return self._position(self._characters.number(kind, value, context.flags), after)

    def _position(self, number: int | None, following: int) -> int:
        self._sets.append(number)
        self._following.append(following)
        return 1 << (len(self._sets) - 1)  # the set of this position alone

    def _repetition(self, least: int, most: int, body: Any, after: int, context: _Context) -> int:
        if _is_unbounded(most):
            end_of_body = self._position(None, after)
            place = len(self._following) - 1
            again = self._sequence(body, end_of_body, context)
            self._following[place] |= again
            after, least = (again | after, 0) if least == 0 else (again, least - 1)
        else:
            optional = after
            for _ in range(most - least if body else 0):
                optional = self._sequence(body, optional, context) | after
            after = optional
        for _ in range(least if body else 0):
            after = self._sequence(body, after, context)
        return after


def _anchor(name: str, after: int, context: _Context) -> int:
    """Return `after` for an anchor that adds nothing, because the whole text must match."""
    begins, ends = name in _BEGINNINGS, name in _ENDS
    if (begins and context.at_beginning) or (ends and context.at_end):
        return after
    raise _unsupported(name)


def _unsupported(name: str) -> PatternError:
    return PatternError(f"has {_UNSUPPORTED[name]}, which is not supported")
