"""Folding: characters become equivalents that the vocabulary knows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.folding import _candidates, _has_candidates, fold
from model.text.vocabulary import Vocabulary

ASCII = Vocabulary([chr(code) for code in range(32, 127)] + ["\n"])
TYPOGRAPHIC = Vocabulary("abc \u201c\u201d\u2019\u2014")


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("\u201cStop,\u201d he said", '"Stop," he said'),
        ("it\u2019s Levin\u2018s", "it's Levin's"),
        ("yes\u2014no", "yes--no"),
        ("1805\u20131812", "1805-1812"),
        ("wait\u2026", "wait..."),
        ("caf\u00e9 na\u00efve \u00c5ngstr\u00f6m", "cafe naive Angstrom"),
        ("cafe\u0301", "cafe"),
        ("Stra\u00dfe, \u0153uvre, \u0141\u00f3d\u017a", "Strasse, oeuvre, Lodz"),
        ("a\u00a0b\u2009c", "a b c"),
        ("\ufeffso\u00adft", "soft"),
        ("\uff21\uff11\ufb01", "A1fi"),
        ("one\u2028two", "one\ntwo"),
        ("\u00abci\u00bb", '"ci"'),
    ],
)
def test_typographic_characters_become_plain_ones(text: str, folded: str) -> None:
    assert fold(text, ASCII) == folded


def test_plain_characters_become_typographic_ones_if_only_these_are_known() -> None:
    assert fold("'\"", TYPOGRAPHIC) == "\u2019\u201c"


def test_a_character_without_an_equivalent_stays() -> None:
    assert fold("\u6f22 abc", ASCII) == "\u6f22 abc"


@given(st.text(), st.sets(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=40))
def test_known_characters_stay_and_the_rest_becomes_known_or_stays(
    text: str, characters: set[str]
) -> None:
    vocabulary = Vocabulary(sorted(characters))
    folded = fold(text, vocabulary)
    unknown = [character for character in folded if character not in vocabulary]
    assert set(unknown) <= set(text)
    assert fold(folded, vocabulary) == folded
    known = "".join(character for character in text if character in vocabulary)
    assert fold(known, vocabulary) == known


def test_every_character_with_an_equivalent_is_looked_up() -> None:
    for code in [*range(0xD800), *range(0xE000, 0x10000)]:
        if not _has_candidates(chr(code)):
            assert set(_candidates(chr(code))) == {chr(code)}


def test_folding_very_many_different_characters_is_quick() -> None:
    everything = "".join(chr(code) for code in range(0x10000, 0x10000 + 100_000))
    foldable = "".join(chr(code) for code in range(0x1D400, 0x1D400 + 900))
    began = time.process_time()
    assert fold(everything, ASCII) == everything
    for _ in range(150):
        fold(foldable, ASCII)
    assert time.process_time() - began < 3, "about 0.1 s on an idle machine"
