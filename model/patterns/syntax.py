r"""Pattern syntax: a regular expression as positions, the places in it that match one character.

Python's own parser reads the expression, and Python's own matcher says which characters a set such
as `\w` has. So an expression means what it means in Python.

The result is an automaton whose states are sets of positions: after each position, a match goes on
at the positions that may follow it (Glushkov 1961, "The abstract theory of automata"). A set is an
integer, one bit per position, so that thousands of positions are combined at once.
"""

from __future__ import annotations

import builtins
import importlib.util
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from model.errors import PatternError, describe_character
from model.patterns.set_cost import set_operations
from model.patterns.work_limit import WorkLimit

# CPython's parser. It has no public name; hypothesis and other libraries use it in the same way.
_constants: Any = re._constants  # type: ignore[attr-defined]
_compiler: Any = re._compiler  # type: ignore[attr-defined]

MAX_CHARACTERS = 10_000  # of an expression
MAX_POSITIONS = 5_000  # when repetitions are written out
_HUGE = 10**9  # positions; larger numbers are not told apart
_TYPE_FLAGS = re.ASCII | re.UNICODE | re.LOCALE  # a group may replace one by another
_MAX_LISTED = 10  # missing characters in a message
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


class _Warnings:
    """What the parser finds instead of Python's module of this name."""

    @staticmethod
    def warn(message: str, *_: object, **__: object) -> None:
        """Refuse characters in sets that a later Python may read differently."""
        raise PatternError(f"is ambiguous: {message}; put a backslash before it")


def _strict_parser() -> Any:
    """Return a copy of CPython's parser that raises PatternError where the original warns.

    Python's filters of warnings belong to the whole process, so turning warnings into errors would
    also affect what other threads do at that moment. Other code keeps the original parser.
    """

    def import_(name: str, *args: Any) -> Any:
        return _Warnings if name == "warnings" else __import__(name, *args)

    spec: Any = importlib.util.find_spec("re._parser")
    parser: Any = importlib.util.module_from_spec(spec)
    parser.__builtins__ = {**vars(builtins), "__import__": import_}
    spec.loader.exec_module(parser)
    return parser


_parser = _strict_parser()


class Positions(NamedTuple):
    """The positions of an expression, numbered from the end of the expression.

    Position 0 is the end of the text. Some positions match nothing: they are stand-ins for
    the positions that follow them, at the ends of repetitions.
    """

    characters: list[frozenset[str] | None]  # what each matches; None: a stand-in
    following: list[int]  # the set of positions that may follow each position
    first: int  # the set of positions where a match begins
    missing: list[str]  # characters that occur in the expression, but not in the vocabulary


def positions_of(expression: str, vocabulary: str, work: WorkLimit) -> Positions:
    """Return the positions of a regular expression over the characters of a vocabulary.

    Raises:
        PatternError: if the expression is not valid, is too large, or has parts that need a
            backtracking matcher.
    """
    if len(expression) > MAX_CHARACTERS:
        raise PatternError(f"must have at most {MAX_CHARACTERS} characters, got {len(expression)}")
    try:
        work.spend(len(expression))
        parsed = _parsed(expression)
        if (size := _size(parsed)) > MAX_POSITIONS:
            raise PatternError(
                f"is too large: written out, its repetitions have {size:.6g} characters and sets, "
                f"and at most {MAX_POSITIONS} are allowed"
            )
        return _Builder(parsed, vocabulary, work).build()
    except RecursionError as error:
        raise PatternError("has too many groups inside each other") from error


def missing_error(missing: Iterable[str]) -> PatternError:
    """Return the error of an expression that needs characters outside of the vocabulary."""
    characters = sorted(set(missing))
    listed = ", ".join(map(describe_character, characters[:_MAX_LISTED]))
    rest = len(characters) - _MAX_LISTED
    more = f" and {rest} more" if rest > 0 else ""
    return PatternError(f"needs characters that the model cannot write: {listed}{more}")


def _parsed(expression: str) -> Any:
    """Return Python's parse tree of an expression."""
    try:
        return _parser.parse(expression)
    except (re.error, OverflowError, ValueError) as error:  # a ValueError: too many digits
        reason = str(error)
        if len(reason) > _MAX_REASON:
            reason = f"{reason[:_MAX_REASON]}..."
        raise PatternError(f"is not a regular expression: {reason}") from error


def _size(items: Iterable[Any]) -> int:
    """Return the number of positions. Raise PatternError for what is not supported."""
    total = 0
    for kind, value in items:
        name = str(kind)
        if name in _UNSUPPORTED:
            raise _unsupported(name)
        if name == "SUBPATTERN":
            total += _size(value[3])
        elif name == "BRANCH":
            for branch in value[1]:
                total += _size(branch)
        elif name in _REPEATS:
            least, most, body = value
            times = max(least, 1) if most == _constants.MAXREPEAT else most
            total += max(1, _size(body)) * times
        elif name != "AT":
            total += 1
        total = min(total, _HUGE)
    return total


class _Context(NamedTuple):
    """What surrounds a part of an expression."""

    flags: int
    at_beginning: bool  # whether nothing is before it
    at_end: bool  # whether nothing is after it


class _Builder:
    """Numbers the positions from the end back, because each one needs those that follow it."""

    def __init__(self, parsed: Any, vocabulary: str, work: WorkLimit) -> None:
        self._parsed, self._vocabulary, self._work = parsed, vocabulary, work
        self._alphabet = frozenset(vocabulary)
        self._characters: list[frozenset[str] | None] = [frozenset()]
        self._following: list[int] = [0]
        self._sets: dict[tuple[Any, int, int], frozenset[str]] = {}
        self._sets_by_content: dict[tuple[str, int], frozenset[str]] = {}
        self._missing: list[str] = []

    def build(self) -> Positions:
        context = _Context(self._parsed.state.flags, at_beginning=True, at_end=True)
        first = self._sequence(self._parsed, END, context)
        return Positions(self._characters, self._following, first, self._missing)

    def _sequence(self, items: Any, after: int, context: _Context) -> int:
        """Return where a match of consecutive items begins if it goes on at `after`."""
        inside = [index for index, (kind, _) in enumerate(items) if str(kind) != "AT"]
        first, last = (inside[0], inside[-1]) if inside else (len(items), 0)
        self._work.add(1)
        for index in range(len(items) - 1, -1, -1):
            self._work.add(1)
            own = context._replace(
                at_beginning=context.at_beginning and index <= first,
                at_end=context.at_end and index >= last,
            )
            kind, value = items[index]
            after = self._item(kind, value, after, own)
        return after

    def _item(self, kind: Any, value: Any, after: int, context: _Context) -> int:
        name = str(kind)
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
            inner = context._replace(at_beginning=False, at_end=False)
            least, most, body = value
            return self._repetition(least, most, body, after, inner)
        if name == "AT":
            return _anchor(str(value), after, context)
        return self._position(self._matched(kind, value, context.flags), after)

    def _position(self, characters: frozenset[str] | None, following: int) -> int:
        """Add a position. Return the set that has only this position."""
        self._work.add(1)
        self._characters.append(characters)
        self._following.append(following)
        return 1 << (len(self._characters) - 1)

    def _repetition(self, least: int, most: int, body: Any, after: int, context: _Context) -> int:
        if most == _constants.MAXREPEAT:
            end_of_body = self._position(None, after)
            place = len(self._following) - 1
            again = self._sequence(body, end_of_body, context)
            self._following[place] |= again
            after, least = (again | after, 0) if least == 0 else (again, least - 1)
        else:
            optional = after
            for _ in range(most - least):
                optional = self._sequence(body, optional, context) | after
            after = optional
        for _ in range(least):
            after = self._sequence(body, after, context)
        return after

    def _matched(self, kind: Any, value: Any, flags: int) -> frozenset[str]:
        """Return the characters of the vocabulary that a character or a set matches."""
        # The tree keeps its values alive, so an id does not change its meaning.
        key = kind, value if isinstance(value, int) else id(value), flags
        if key not in self._sets:
            found = self._matched_by_content(kind, value, flags)
            if not found and str(kind) in ("LITERAL", "IN"):
                self._missing += _named(kind, value)
            self._sets[key] = found
        return self._sets[key]

    def _matched_by_content(self, kind: Any, value: Any, flags: int) -> frozenset[str]:
        """Compute `_matched`, once for equal sets in different places of the expression."""
        if str(kind) == "LITERAL" and not flags & re.IGNORECASE:
            return frozenset({chr(value)} & self._alphabet)
        key = repr((kind, value)), flags
        if key not in self._sets_by_content:
            self._work.add(set_operations(kind, value, flags, len(self._vocabulary)))
            one = _parser.SubPattern(_parser.State(), [(kind, value)])
            matcher = _compiler.compile(one, flags)
            self._sets_by_content[key] = frozenset(matcher.findall(self._vocabulary))
        return self._sets_by_content[key]


def _anchor(name: str, after: int, context: _Context) -> int:
    """Return `after` for an anchor that adds nothing, because the whole text must match."""
    begins, ends = name in _BEGINNINGS, name in _ENDS
    if (begins and context.at_beginning) or (ends and context.at_end):
        return after
    raise _unsupported(name)


def _unsupported(name: str) -> PatternError:
    return PatternError(f"has {_UNSUPPORTED[name]}, which is not supported")


def _named(kind: Any, value: Any) -> list[str]:
    """Return the first character that an item of the expression names, if it names one."""
    name = str(kind)
    if name == "LITERAL":
        return [chr(value)]
    if name == "RANGE":
        return [chr(value[0])]
    return _named(*value[0]) if name == "IN" else []
