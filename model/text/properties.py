"""Text properties: what a cell may track, as one number per character of a text.

A property is a function of a text. Its value at a character depends only on the text up to and
including that character, because a network has not read more. To add a property, write such a
function and name it in `PROPERTIES`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from model.text.vocabulary import code_points

Values = npt.NDArray[np.float64]  # (number of characters,)
_Flags = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int64]

_QUOTES = (("“„‟", "”"), ("«", "»"), ("\u2039", "\u203a"))  # families of opening and closing marks
_SENTENCE_ENDS = ".!?…‼⁇⁈⁉؟\u06d4।॥\u0589።。\uff01\uff1f\uff0e｡"


def quotes(text: str) -> Values:
    """Return 1 inside quotation marks and 0 outside.

    An opening mark is inside, a closing mark is outside. Straight double marks are counted from the
    start of the text: an odd number so far means inside. Curly marks, guillemets and single
    guillemets open and close separately. A second opening mark changes nothing, because each
    paragraph of a long quotation has one. “ closes a quotation that „ has opened. Single quotation
    marks do not count, because apostrophes look the same.
    """
    codes = code_points(text)
    inside: _Flags = np.cumsum(codes == ord('"')) % 2 == 1
    for opening, closing in _QUOTES:
        inside |= _is_open(codes, opening, closing)
    return inside.astype(np.float64)


def brackets(text: str) -> Values:
    """Return 1 inside brackets and 0 outside.

    An opening bracket is inside, a closing one is outside unless other brackets are still open.
    Brackets are the mirrored characters of Unicode's categories Ps and Pe. Their kinds are counted
    together. A closing bracket without an opening one is ignored.
    """
    opening = _of(text, lambda character: _is_bracket(character, "Ps"))
    closing = _of(text, lambda character: _is_bracket(character, "Pe"))
    depth = np.cumsum(opening.astype(np.int64) - closing)
    # How many brackets are open is the height above the lowest depth, because a closing bracket at
    # the lowest depth is ignored.
    lowest = np.minimum(np.minimum.accumulate(depth), 0)
    return (depth > lowest).astype(np.float64)


def line_position(text: str) -> Values:
    """Return the number of characters since the last newline, or since the start of the text.

    A newline has 0, and the first character of a line has 1.
    """
    return _distance(code_points(text) == ord("\n"))


def word_position(text: str) -> Values:
    """Return the position in the current word, from 1, and 0 outside words.

    A word is a sequence of letters, combining marks and numbers (Unicode's categories L, M and N).
    """
    return _distance(~_of(text, is_of_word))


def sentence_position(text: str) -> Values:
    """Return the number of characters since the last sentence ended, or since the text started.

    A full stop, an exclamation mark, a question mark, an ellipsis, or their equivalent in another
    script ends a sentence and has 0. This includes the full stop of an abbreviation.
    """
    return _distance(np.isin(code_points(text), code_points(_SENTENCE_ENDS)))


def paragraph_position(text: str) -> Values:
    """Return the number of characters since the last blank line, or since the text started.

    A line is blank if it has nothing but white space. The newline that ends it has 0.
    """
    newlines = code_points(text) == ord("\n")
    visible = _last(~_of(text, str.isspace))
    line_starts = _last(newlines, before=True)
    return _distance(newlines & (visible <= line_starts))


def indentation(text: str) -> Values:
    """Return the number of spaces and tabs at the start of the current line, as far as read.

    A newline has 0.
    """
    codes = code_points(text)
    newlines = codes == ord("\n")
    others = ~newlines & (codes != ord(" ")) & (codes != ord("\t"))
    ends = _last(_last(others) <= _last(newlines))  # where the indentation was last read
    return np.where(ends < 0, 0.0, _distance(newlines)[ends])


def capitals(text: str) -> Values:
    """Return 1 at an upper-case character, as `str.isupper` defines it, and 0 elsewhere."""
    return _of(text, str.isupper).astype(np.float64)


def digits(text: str) -> Values:
    """Return 1 at a decimal digit of any script, as `str.isdecimal` defines it, and 0 elsewhere."""
    return _of(text, str.isdecimal).astype(np.float64)


PROPERTIES: Mapping[str, Callable[[str], Values]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            *(quotes, brackets),
            *(line_position, word_position, sentence_position, paragraph_position),
            *(indentation, capitals, digits),
        )
    }
)


def _of(text: str, is_one: Callable[[str], bool]) -> _Flags:
    """Return for each character whether a function of a character is true.

    The function is called once per distinct character.
    """
    codes = code_points(text)
    distinct, places = np.unique(codes, return_inverse=True)
    flags = np.array([is_one(chr(code)) for code in distinct.tolist()], np.bool_)
    return flags[places]


def _last(marks: _Flags, before: bool = False) -> _Indices:
    """Return for each character the index of the last mark up to it, or -1 if there is none.

    With `before`, a mark at the character itself does not count.
    """
    found = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), -1))
    return np.concatenate([[-1], found])[: len(marks)] if before else found


def _distance(marks: _Flags) -> Values:
    """Return the number of characters since the last mark, or since the start of the text."""
    return (np.arange(len(marks)) - _last(marks)).astype(np.float64)


def _is_open(codes: npt.NDArray[np.uint32], opening: str, closing: str) -> _Flags:
    """Return for each character whether the last mark of a family opened a quotation."""
    is_mark = np.isin(codes, code_points(opening + closing))
    marks = codes[is_mark]
    opens = np.isin(marks, code_points(opening))
    opens[1:] &= (marks[1:] != ord("“")) | (marks[:-1] != ord("„"))
    is_open: _Flags = np.concatenate([[False], opens])[np.cumsum(is_mark)]
    return is_open


def _is_bracket(character: str, category: str) -> bool:
    return unicodedata.category(character) == category and bool(unicodedata.mirrored(character))


def is_of_word(character: str) -> bool:
    """Return whether a character is a letter, a combining mark or a number."""
    return unicodedata.category(character)[0] in "LMN"
