"""Each property equals a loop over the characters, for any text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.text.properties import PROPERTIES

# All of Unicode, lone surrogates included, with the characters that properties look at.
any_character = st.characters(codec=None)
marked = st.sampled_from("\"“”„‟«»\u2039\u203a()[]{}<>「」.!?…。 \t\n\r\x0b\x85\u2028aZ9é̀漢٣Ⅷǅ😀'")
texts = st.text(any_character | marked, max_size=80) | st.text(marked, max_size=80)

Loop = Callable[[str], Iterator[float]]


def quotes(text: str) -> Iterator[float]:
    straight, opened, guillemet, single = 0, "", False, False
    for character in text:
        straight += character == '"'
        if character in "“„‟":
            opened = "" if (opened, character) == ("„", "“") else character
        elif character == "”":
            opened = ""
        guillemet = character == "«" or (guillemet and character != "»")
        single = character == "\u2039" or (single and character != "\u203a")
        yield bool(straight % 2 or opened or guillemet or single)


def brackets(text: str) -> Iterator[float]:
    depth = 0
    for character in text:
        if unicodedata.mirrored(character):
            category = unicodedata.category(character)
            depth = max(0, depth + (category == "Ps") - (category == "Pe"))
        yield depth > 0


def line_position(text: str) -> Iterator[float]:
    position = -1
    for number, character in enumerate(text):
        if character == "\n":
            position = number
        yield number - position if "\n" in text[: number + 1] else number + 1


def word_position(text: str) -> Iterator[float]:
    position = 0
    for character in text:
        position = position + 1 if unicodedata.category(character)[0] in "LMN" else 0
        yield position


def sentence_position(text: str) -> Iterator[float]:
    position = 0
    for character in text:
        position = (
            0 if character in ".!?…‼⁇⁈⁉؟\u06d4।॥\u0589።。\uff01\uff1f\uff0e｡" else position + 1
        )
        yield position


def paragraph_position(text: str) -> Iterator[float]:
    position, line = 0, ""
    for character in text:
        position += 1
        if character == "\n":
            position = position if line.strip() else 0
            line = ""
        else:
            line += character
        yield position


def indentation(text: str) -> Iterator[float]:
    line = ""
    for character in text:
        line = "" if character == "\n" else line + character
        yield len(line) - len(line.lstrip(" \t"))


def capitals(text: str) -> Iterator[float]:
    yield from (character.isupper() for character in text)


def digits(text: str) -> Iterator[float]:
    yield from (character.isdecimal() for character in text)


LOOPS: dict[str, Loop] = {
    loop.__name__: loop
    for loop in (
        quotes,
        brackets,
        line_position,
        word_position,
        sentence_position,
        paragraph_position,
        indentation,
        capitals,
        digits,
    )
}


def test_these_are_the_properties() -> None:
    assert list(PROPERTIES) == list(LOOPS)


@pytest.mark.parametrize("name", PROPERTIES)
@settings(deadline=None)
@given(text=texts)
@example("")
@example('a "b" «c» “d” „e“ (f) [g')
@example("\n\n  \n\t x\n a.\n\nB 12")
def test_it_equals_its_definition(name: str, text: str) -> None:
    values = PROPERTIES[name](text)
    assert values.dtype == np.float64
    assert values.tolist() == [float(value) for value in LOOPS[name](text)]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('a "b" c', "..##..."),
        ("„a“ b “c” d", "##....##..."),
        ("“a\n\n“b” c", "######..."),
        ("«a “b” c» d", "########..."),
        ("it's \u2018so\u2019", "........."),
    ],
)
def test_quotations_in_different_styles(text: str, inside: str) -> None:
    assert "".join(".#"[int(value)] for value in PROPERTIES["quotes"](text)) == inside
