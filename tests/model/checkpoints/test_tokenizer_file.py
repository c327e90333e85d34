"""The vocabulary as a tokenizer of Hugging Face: one token per character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from model.checkpoints.tokenizer_file import save_tokenizer, tokenizer_json
from model.text.vocabulary import UNKNOWN, Vocabulary
from tests.conftest import CHARACTERS
from tests.model.text.test_vocabulary import texts

any_text = st.text(st.characters(exclude_categories=["Cs"]))


def tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(tokenizer_json(vocabulary)))


@given(texts)
def test_a_token_is_a_character_and_has_its_id(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    loaded = tokenizer(vocabulary)
    encoding = loaded.encode(text)
    assert encoding.ids == vocabulary.encode(text).tolist()
    assert encoding.tokens == list(text)
    assert loaded.decode(encoding.ids) == text
    assert loaded.get_vocab_size() == len(vocabulary)


@pytest.mark.parametrize("separator", ["", " ", "\n", "\r\n", "\x00", "\u200d", "\u0301"])
def test_no_neighbour_changes_a_character(separator: str) -> None:
    """Spaces, line ends, joiners and combining accents: nothing is normalized."""
    text = separator.join(CHARACTERS)
    loaded = tokenizer(Vocabulary.from_text(text))
    assert loaded.decode(loaded.encode(text).ids) == text


@given(texts, any_text)
def test_unknown_characters_are_left_out(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text.replace(UNKNOWN, "") + "ab")
    expected = vocabulary.encode_known(other).tolist()
    assert tokenizer(vocabulary).encode(other).ids == expected


@given(texts, any_text)
def test_unknown_characters_become_one_if_the_model_reads_it(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text + UNKNOWN)
    expected = vocabulary.encode_read(other).tolist()
    assert tokenizer(vocabulary).encode(other).ids == expected


@pytest.mark.parametrize("unknown", ["", UNKNOWN])
def test_transformers_loads_the_folder(unknown: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    vocabulary = Vocabulary([*CHARACTERS, *unknown])
    text = " ".join(CHARACTERS) + "  . n't\n\n" + unknown
    text = "".join(character for character in text if character in vocabulary)
    save_tokenizer(vocabulary, tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    ids = loaded(text)["input_ids"]
    assert ids == vocabulary.encode(text).tolist()
    assert loaded.decode(ids) == loaded.decode(ids, skip_special_tokens=True) == text
    assert len(loaded) == len(vocabulary)
