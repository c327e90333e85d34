"""Vocabulary: the characters of a model and their ids."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import UnknownCharacterError, VocabularyError, describe_character

Ids = npt.NDArray[np.int32]
CorpusIds = npt.NDArray[np.integer[Any]]

# Unicode's REPLACEMENT CHARACTER. A vocabulary that has it maps all characters that it does not
# have to this one. A decoder reads it but never generates it.
UNKNOWN = "\ufffd"

_SHORT = 64  # characters; below this, plain Python is faster than numpy
_ENCODED_AT_ONCE = 1 << 20  # characters; bounds the temporary memory for a long text


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text. Lone surrogates are allowed."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class Vocabulary:
    """A fixed sequence of distinct characters. The id of a character is its index.

    Args:
        characters: single Unicode characters (code points), in the order of their ids.

    Attributes:
        start_id: the id that stands in for an empty prime: the newline if there is one, otherwise
            id 0.
        unknown_id: the id of UNKNOWN, or None if the vocabulary does not have it.

    Raises:
        VocabularyError: if there are fewer than two characters, one is repeated, or one is not a
            single character.
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
                raise VocabularyError(
                    f"{character!r} in the vocabulary is half of a surrogate pair, not a character"
                )
        codes = np.array([ord(character) for character in self.characters], dtype=np.int64)
        # The last item is for all code points from there on.
        self._id_of_code = np.full(codes.max() + 2, -1, dtype=np.int32)
        self._id_of_code[codes] = np.arange(len(codes), dtype=np.int32)
        self._code_of_id = codes.astype(np.uint32)
        if np.count_nonzero(self._id_of_code >= 0) != len(codes):
            repeated = describe_character(Counter(self.characters).most_common(1)[0][0])
            raise VocabularyError(
                f"{repeated} is in the vocabulary twice; list each character once"
            )
        self._id_by_character = {character: i for i, character in enumerate(self.characters)}
        self.start_id = self._id_by_character.get("\n", 0)
        self.unknown_id = self._id_by_character.get(UNKNOWN)

    @classmethod
    def from_text(cls, text: str, min_count: int = 1) -> Vocabulary:
        """Return the vocabulary of a text: its distinct characters in code point order.

        Args:
            text: the text whose characters are counted.
            min_count: minimum count of a character. UNKNOWN replaces rarer ones.
        """
        counts = Counter(text)
        frequent = {character for character, count in counts.items() if count >= min_count}
        if len(frequent) < len(counts):
            frequent.add(UNKNOWN)
        return cls(sorted(frequent))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._id_by_character

    def prompt(self, prime: Ids) -> Ids:
        """Return the ids to read before a text: the prime, or `start_id` if the prime is empty.

        A network must read something before it can predict.
        """
        return prime if len(prime) else np.array([self.start_id], np.int32)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text's characters, int32 of shape (len(text),).

        Raises:
            UnknownCharacterError: if the text has characters that are not in the vocabulary. The
                error lists each of them with the index of its first occurrence.
        """
        if len(text) < _SHORT:
            with suppress(KeyError):  # the rest tells which characters are unknown
                return np.array([self._id_by_character[c] for c in text], np.int32)
        ids = self._lookup(code_points(text))
        if text and ids.min() < 0:
            raise _unknown(ids < 0, text)
        return ids

    def encode_read(self, text: str) -> Ids:
        """Return the ids of a text that is only read, with UNKNOWN for unknown characters.

        Raises:
            UnknownCharacterError: if the text has unknown characters and the vocabulary does not
                have UNKNOWN.
        """
        if self.unknown_id is None:
            return self.encode(text)
        ids = self._lookup(code_points(text))
        return np.where(ids < 0, np.int32(self.unknown_id), ids)

    def encode_scored(self, text: str) -> Ids:
        """Return the ids of a text to score.

        UNKNOWN cannot be scored: it stands for many characters and has no probability of its own.

        Raises:
            UnknownCharacterError: if the text has UNKNOWN, or characters that are not in the
                vocabulary. It lists all of them, as that of `encode` does.
        """
        ids = self._lookup(code_points(text))
        if (unscorable := self._unscorable(ids)).any():
            raise _unknown(unscorable, text)
        return ids

    def encode_known(self, text: str) -> Ids:
        """Return the ids of a text, without the characters that are not in the vocabulary."""
        ids = self._lookup(code_points(text))
        known = ids >= 0
        return ids if known.all() else ids[known]

    def find_unscorable(self, text: str) -> int:
        """Return the index of the first character that `encode_scored` refuses, or -1."""
        found = self.unscorable_positions(text)
        return int(found[0]) if len(found) else -1

    def unscorable_positions(self, text: str) -> npt.NDArray[np.intp]:
        """Return the indices of all characters that `encode_scored` refuses."""
        return np.flatnonzero(self._unscorable(self._lookup(code_points(text))))

    def unknown_characters(self, text: str) -> set[str]:
        """Return the characters of a text that are not in the vocabulary."""
        return set(map(chr, self.unknown_codes(text).tolist()))

    def unknown_codes(self, text: str) -> npt.NDArray[np.intp]:
        """Return the distinct code points of a text that are not in the vocabulary, ascending."""
        codes = code_points(text)
        codes = codes[self._lookup(codes) < 0]
        occurs = np.zeros(codes.max(initial=0) + 1, np.bool_)  # faster than sorting the codes
        occurs[codes] = True
        return np.flatnonzero(occurs)

    def encode_corpus(self, text: str) -> tuple[CorpusIds, Counter[str]]:
        """Return the ids of a long text in the smallest type that can hold them.

        Returns:
            ids: unsigned integers. An unknown character becomes UNKNOWN, or is left out if the
                vocabulary does not have UNKNOWN.
            unknown: the unknown characters, with their counts.
        """
        kind = np.min_scalar_type(len(self) - 1)
        parts, unknown = [], Counter[str]()
        for first in range(0, len(text), _ENCODED_AT_ONCE):
            piece = text[first : first + _ENCODED_AT_ONCE]
            codes = code_points(piece)
            ids = self._lookup(codes)
            missing = ids < 0
            if missing.any():
                unknown.update(chr(code) for code in codes[missing].tolist())
                if self.unknown_id is None:
                    ids = ids[~missing]
                else:
                    ids[missing] = self.unknown_id
            parts.append(ids.astype(kind))
        return np.concatenate(parts or [np.zeros(0, kind)]), unknown

    def decode(self, ids: Ids | Iterable[int]) -> str:
        """Return the text of some ids.

        Raises:
            VocabularyError: if an id is not in 0..len(self)-1.
        """
        if isinstance(ids, array) and len(ids) < _SHORT and min(ids, default=0) >= 0:
            with suppress(IndexError):  # the rest tells which ids are wrong
                return "".join([self.characters[index] for index in ids])
        buffer = ids if isinstance(ids, np.ndarray | array) else list(ids)
        found = np.asarray(buffer, dtype=np.int64)
        try:
            codes = self._code_of_id.take(found)
        except IndexError:
            codes = None
        if codes is None or (found.size and found.min() < 0):
            raise VocabularyError(
                f"ids must be in 0..{len(self) - 1}, got ids from {found.min()} to {found.max()}"
            )
        return codes.tobytes().decode("utf-32-le")

    def _unscorable(self, ids: Ids) -> npt.NDArray[np.bool_]:
        unscorable: npt.NDArray[np.bool_] = ids < 0
        return unscorable if self.unknown_id is None else unscorable | (ids == self.unknown_id)

    def _lookup(self, codes: npt.NDArray[np.uint32]) -> Ids:
        return self._id_of_code.take(codes, mode="clip")


def _unknown(refused: npt.NDArray[np.bool_], text: str) -> UnknownCharacterError:
    positions, codes = np.flatnonzero(refused), code_points(text)[refused]
    first_of_code = np.full(codes.max() + 1, len(text))
    np.minimum.at(first_of_code, codes, positions)
    is_first = first_of_code[codes] == positions
    characters = codes[is_first].tobytes().decode("utf-32-le", "surrogatepass")
    return UnknownCharacterError(characters, positions[is_first].tolist())
