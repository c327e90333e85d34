"""Folding: replace characters that a vocabulary lacks with equivalent ones that it has."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

from model.text.vocabulary import Vocabulary

# The characters of a group are equivalent. The first one that the vocabulary has is used.
_GROUPS = (
    '"\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb',  # double quotation marks
    "'\u2019\u2018\u201a\u201b\u2032\u00b4`",  # single quotation marks and apostrophes
    "-\u2010\u2011\u2012\u2013\u2212",  # hyphens, the en dash, the minus sign
    "\u2014\u2015\u2013",  # the em dash and the horizontal bar
    " \u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",  # spaces
    "\n\u0085\u2028\u2029\r",  # line ends
)
# Letters without a decomposition in Unicode, and marks that are written with several characters.
_SPELLINGS = {
    "\u2014": "--",
    "\u2015": "--",
    "\u2026": "...",
    "\u00df": "ss",
    "\u00e6": "ae",
    "\u00c6": "AE",
    "\u0153": "oe",
    "\u0152": "OE",
    "\u00f8": "o",
    "\u00d8": "O",
    "\u0142": "l",
    "\u0141": "L",
    "\u0111": "d",
    "\u0110": "D",
    "\u00f0": "d",
    "\u00d0": "D",
    "\u00fe": "th",
    "\u00de": "Th",
    "\u0131": "i",
}
_REMOVED = (
    "\ufeff\u200b\u200c\u200d\u2060\u00ad"  # invisible: byte-order mark, joiners, soft hyphen
)

_LISTED = frozenset("".join((*_GROUPS, *_SPELLINGS, _REMOVED)))

_MAX_UNKNOWN = 1000  # different characters of one text


def fold(text: str, vocabulary: Vocabulary) -> str:
    """Return the text with equivalents of characters that the vocabulary lacks.

    Typographic quotation marks, dashes and spaces are replaced with plain ones, or plain ones with
    typographic ones, whichever the vocabulary has. Accented letters lose their accents, ligatures
    and full-width forms are decomposed, and invisible characters are removed. A character without
    an equivalent stays. A text with more than a thousand different unknown characters stays as it
    is, because it is in another script.
    """
    unknown = vocabulary.unknown_codes(text)
    if len(unknown) > _MAX_UNKNOWN:
        return text
    table = _equivalents(vocabulary)
    for code in unknown.tolist():
        if code not in table and _has_candidates(chr(code)):
            table[code] = _equivalent(chr(code), vocabulary)
    return text.translate(table)


@functools.lru_cache(maxsize=8)
def _equivalents(vocabulary: Vocabulary) -> dict[int, str]:
    """Return the equivalents that were found so far, by code point.

    Finding one takes 20 us. About 30,000 characters of Unicode have candidates.
    """
    return {}


def _has_candidates(character: str) -> bool:
    """Return whether a character can have an equivalent. This takes less than 1 us."""
    return (
        character in _LISTED
        or unicodedata.combining(character) > 0
        or not unicodedata.is_normalized("NFKD", character)
    )


def _equivalent(character: str, vocabulary: Vocabulary) -> str:
    for candidate in _candidates(character):
        if all(part in vocabulary for part in candidate):
            return candidate
    return character


def _candidates(character: str) -> Iterator[str]:
    if character in _REMOVED:
        yield ""
    yield unicodedata.normalize("NFC", character)
    for group in _GROUPS:
        if character in group:
            yield from group
    if character in _SPELLINGS:
        yield _SPELLINGS[character]
    decomposed = unicodedata.normalize("NFKD", character)
    yield decomposed
    yield "".join(part for part in decomposed if not unicodedata.combining(part))
