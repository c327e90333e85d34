"""Tokenizer files: a vocabulary as a tokenizer of Hugging Face's libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.checkpoints.atomic_file import replacing
from model.text.vocabulary import UNKNOWN, Vocabulary

# What AutoTokenizer needs beside tokenizer.json. Older versions of transformers delete the space
# before a full stop when they decode, unless a setting forbids it.
_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of a tokenizer.json whose tokens are the vocabulary's characters.

    A token has the id that its character has in the vocabulary, and decoding what was encoded
    gives the same text. An unknown character becomes UNKNOWN, or is left out if the vocabulary
    does not have UNKNOWN. There are no special tokens.

    The model is byte-pair encoding without merges, which leaves every text in single characters.
    The format: https://huggingface.co/docs/tokenizers
    """
    model: dict[str, Any] = {
        "type": "BPE",
        "unk_token": UNKNOWN if UNKNOWN in vocabulary else None,
        "vocab": {character: number for number, character in enumerate(vocabulary.characters)},
        "merges": [],
    }
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Fuse"},  # without one, decoding puts spaces between the tokens
        "model": model,
    }


def save_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, for AutoTokenizer.from_pretrained(folder).

    Raises:
        OSError: if a file cannot be written.
    """
    for name, content in (
        ("tokenizer.json", tokenizer_json(vocabulary)),
        ("tokenizer_config.json", _CONFIG),
    ):
        with replacing(folder / name) as file:
            file.write(json.dumps(content, indent=1).encode("ascii") + b"\n")
