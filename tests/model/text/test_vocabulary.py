"""Vocabularies: characters and their ids, and characters that a vocabulary lacks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import UnknownCharacterError, VocabularyError
from model.text.folding import fold
from model.text.vocabulary import UNKNOWN, Vocabulary

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=2).filter(
    lambda text: len(set(text)) >= 2
)


@given(texts)
def test_decoding_what_was_encoded_gives_the_text(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == text


@given(texts, st.randoms())
def test_the_order_depends_on_the_characters_alone(text: str, random: object) -> None:
    shuffled = list(text)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Vocabulary.from_text("".join(shuffled)) == Vocabulary.from_text(text)
    assert list(Vocabulary.from_text(text).characters) == sorted(set(text))


@given(texts, st.text())
def test_unknown_characters_are_named_with_their_first_position(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    unknown = [c for c in dict.fromkeys(other) if c not in text]
    if not unknown:
        assert vocabulary.decode(vocabulary.encode(other)) == other
        return
    with pytest.raises(UnknownCharacterError) as caught:
        vocabulary.encode(other)
    assert list(caught.value.characters) == unknown
    assert list(caught.value.positions) == [other.index(c) for c in unknown]
    assert f"U+{ord(unknown[0]):04X}" in str(caught.value)


@given(texts, st.text())
def test_encoding_only_the_known_skips_the_rest(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    expected = "".join(c for c in other if c in text)
    assert vocabulary.decode(vocabulary.encode_known(other)) == expected


@given(texts, st.text())
def test_in_a_text_that_is_only_read_unknown_characters_become_one(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text + UNKNOWN)
    expected = "".join(c if c in vocabulary else UNKNOWN for c in other)
    assert vocabulary.decode(vocabulary.encode_read(other)) == expected
    with pytest.raises(UnknownCharacterError):
        Vocabulary("ab").encode_read("abc")


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("é", "'é' (U+00E9)"),
        ("\u2014", "'\u2014' (U+2014)"),
        ("漢", "'漢' (U+6F22)"),
        ("😀", "'😀' (U+1F600)"),
        ("'", '"\'" (U+0027)'),
        ("\x07", "'\\x07' (U+0007)"),
        ("\xa0", "'\\xa0' (U+00A0)"),
        ("\u202e", "'\\u202e' (U+202E)"),
        ("\ud800", "'\\ud800' (U+D800)"),
    ],
)
def test_a_message_shows_a_character_itself_if_it_can_be_printed(
    character: str, expected: str
) -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        Vocabulary("ab").encode(f"a{character}")
    assert f"vocabulary: {expected} at position 1" in str(caught.value)
    str(caught.value).encode()


def test_a_text_of_unknown_characters_only_stays_as_it_is() -> None:
    text = "".join(map(chr, range(0x20000, 0x20000 + 100_000)))
    vocabulary = Vocabulary("01")
    assert fold(text, vocabulary) == text
    with pytest.raises(UnknownCharacterError, match="and 99990 more"):
        vocabulary.encode(text)


def test_a_long_list_of_unknown_characters_is_cut() -> None:
    with pytest.raises(UnknownCharacterError, match="and 16 more"):
        Vocabulary("01").encode("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    "characters", [[], ["a"], ["a", "a"], ["a", "bc"], ["a", ""], ["a", "\ud800"], ["a", 7]]
)
def test_what_cannot_be_a_vocabulary_is_refused(characters: list[str]) -> None:
    with pytest.raises(VocabularyError):
        Vocabulary(characters)


def test_ids_out_of_range_are_refused() -> None:
    for ids in ([2], [-1]):
        with pytest.raises(VocabularyError, match=r"0\.\.1"):
            Vocabulary("ab").decode(ids)


def test_an_empty_prime_starts_from_a_new_line_where_there_is_one() -> None:
    for characters, start in (("a\nb", 1), ("ab", 0)):
        vocabulary = Vocabulary(characters)
        assert vocabulary.start_id == start
        assert vocabulary.prompt(vocabulary.encode("")).tolist() == [start]
        assert vocabulary.prompt(vocabulary.encode("ba")).tolist() == [len(characters) - 1, 0]


@given(st.text("abcd\u00e9" + UNKNOWN) | st.text(), st.sampled_from(["abc", "abc" + UNKNOWN]))
def test_characters_that_cannot_be_scored_are_found(text: str, characters: str) -> None:
    """The character for unknown ones has no probability of its own."""
    vocabulary = Vocabulary(characters)
    refused = {character: text.index(character) for character in text if character not in "abc"}
    assert vocabulary.find_unscorable(text) == min(refused.values(), default=-1)
    if not refused:
        assert vocabulary.encode_scored(text).tolist() == vocabulary.encode(text).tolist()
        return
    with pytest.raises(UnknownCharacterError) as caught:
        vocabulary.encode_scored(text)
    assert caught.value.characters == "".join(refused)
    assert caught.value.positions == tuple(refused.values())
