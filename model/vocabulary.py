"""Vocabulary: the characters a model knows, and their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import UnknownCharacterError, VocabularyError

Ids = npt.NDArray[np.int32]
CorpusIds = npt.NDArray[np.integer[Any]]

# Unicode's own REPLACEMENT CHARACTER. In a vocabulary it stands for every character that the
# vocabulary lacks; it may be read and evaluated, and is never generated.
UNKNOWN = "\ufffd"

_ENCODED_AT_ONCE = 1 << 20  # characters, which bounds what a long text needs beside its ids


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class Vocabulary:
    """A fixed sequence of distinct characters; a character's id is its place in it.

    Args:
        characters: single Unicode characters (code points), in id order.

    Raises:
        VocabularyError: if there are fewer than two, one repeats, or one is not a character.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        if len(self.characters) < 2:
            raise VocabularyError(
                f"a vocabulary needs at least 2 characters, got {len(self.characters)}"
            )
        for character in self.characters:
            if not isinstance(character, str) or len(character) != 1:
                raise VocabularyError(f"{character!r:.40} in the vocabulary is not one character")
            if 0xD800 <= ord(character) <= 0xDFFF:
                raise VocabularyError(f"{character!a} in the vocabulary is half a surrogate pair")
        codes = np.array([ord(character) for character in self.characters], dtype=np.int64)
        self._id_of_code = np.full(codes.max() + 1, -1, dtype=np.int32)
        self._id_of_code[codes] = np.arange(len(codes), dtype=np.int32)
        self._code_of_id = codes.astype(np.uint32)
        if np.count_nonzero(self._id_of_code >= 0) != len(codes):
            raise VocabularyError("a character stands twice in the vocabulary")

    @classmethod
    def from_text(cls, text: str, min_count: int = 1) -> Vocabulary:
        """The distinct characters of a text, in code point order: the same on every run.

        Args:
            text: what to count characters in.
            min_count: characters seen less often are left out, and UNKNOWN stands for them.
        """
        counts = Counter(text)
        kept = {character for character, count in counts.items() if count >= min_count}
        if len(kept) < len(counts):
            kept.add(UNKNOWN)
        return cls(sorted(kept))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __contains__(self, character: str) -> bool:
        return len(character) == 1 and self._lookup(_code_points(character))[0] >= 0

    @property
    def start_id(self) -> int:
        """The id that an empty prime starts from: a new line where there is one, else id 0."""
        return self.characters.index("\n") if "\n" in self else 0

    @property
    def unknown_id(self) -> int | None:
        """The id of UNKNOWN, where the vocabulary has it."""
        return self.characters.index(UNKNOWN) if UNKNOWN in self else None

    def encode(self, text: str) -> Ids:
        """Ids of a text's characters, int32 of shape (len(text),).

        Raises:
            UnknownCharacterError: naming each unknown character and where it first stands.
        """
        ids = self._lookup(_code_points(text))
        unknown = np.flatnonzero(ids < 0)
        if len(unknown):
            first_seen: dict[str, int] = {}
            for position in unknown.tolist():
                first_seen.setdefault(text[position], position)
            raise UnknownCharacterError(list(first_seen), list(first_seen.values()))
        return ids

    def encode_read(self, text: str) -> Ids:
        """As `encode`, for a text that is only read: UNKNOWN stands for what the vocabulary lacks.

        Raises:
            UnknownCharacterError: as `encode`, where the vocabulary has no UNKNOWN.
        """
        if self.unknown_id is None:
            return self.encode(text)
        ids = self._lookup(_code_points(text))
        return np.where(ids < 0, np.int32(self.unknown_id), ids)

    def encode_known(self, text: str) -> Ids:
        """As `encode`, with the characters that are not in the vocabulary left out."""
        ids = self._lookup(_code_points(text))
        return ids[ids >= 0]

    def encode_corpus(self, text: str) -> tuple[CorpusIds, Counter[str]]:
        """Ids of a long text in the smallest type that holds them, and what it lacks.

        Returns:
            ids: unsigned; characters that the vocabulary lacks are UNKNOWN where it has that,
                and else left out.
            lacking: those characters and how often they stand in the text.
        """
        kind = np.min_scalar_type(len(self) - 1)
        parts, lacking = [], Counter[str]()
        for first in range(0, len(text), _ENCODED_AT_ONCE):
            piece = text[first : first + _ENCODED_AT_ONCE]
            codes = _code_points(piece)
            ids = self._lookup(codes)
            missing = ids < 0
            if missing.any():
                lacking.update(chr(code) for code in codes[missing].tolist())
                if self.unknown_id is None:
                    ids = ids[~missing]
                else:
                    ids[missing] = self.unknown_id
            parts.append(ids.astype(kind))
        return np.concatenate(parts or [np.zeros(0, kind)]), lacking

    def decode(self, ids: Ids | Iterable[int]) -> str:
        """The text that ids stand for.

        Raises:
            VocabularyError: if an id is outside of 0..len(self)-1.
        """
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int64)
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            raise VocabularyError(f"ids must lie in 0..{len(self) - 1}")
        return self._code_of_id[array].tobytes().decode("utf-32-le")

    def _lookup(self, codes: npt.NDArray[np.uint32]) -> Ids:
        known = codes < len(self._id_of_code)
        ids: Ids = self._id_of_code[np.where(known, codes, 0)]
        return np.where(known, ids, np.int32(-1))
