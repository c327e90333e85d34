"""Exceptions that `model` and `training` raise. All are subclasses of `CharstreamError`."""

from __future__ import annotations

from collections.abc import Sequence


def describe_character(character: str) -> str:
    """Return a character and its code point, for a message.

    `é` gives "'é' (U+00E9)". Control characters and surrogates are escaped, as `repr` does.
    """
    return f"{character!r} (U+{ord(character):04X})"


class CharstreamError(Exception):
    """Base class of all errors of this project. The message can be shown to users unchanged."""


class VocabularyError(CharstreamError):
    """The given characters cannot form a vocabulary."""


class UnknownCharacterError(CharstreamError):
    """A text has characters that are not in the vocabulary.

    Args:
        characters: the distinct unknown characters, in order of appearance.
        positions: index of the first occurrence of each, counted from 0.
    """

    max_listed = 10  # further characters are counted in the message, but not listed

    def __init__(self, characters: str, positions: Sequence[int]) -> None:
        self.characters = characters
        self.positions = tuple(positions)
        pairs = zip(self.characters[: self.max_listed], self.positions, strict=False)
        listed = [
            f"{describe_character(character)} at position {position}"
            for character, position in pairs
        ]
        rest = len(self.characters) - len(listed)
        listing = ", ".join(listed) + (f" and {rest} more" if rest > 0 else "")
        super().__init__(f"characters that are not in the model's vocabulary: {listing}")


class SamplingError(CharstreamError):
    """A sampling parameter is out of range. The message names it, its value and the range."""


class PatternError(CharstreamError):
    """A regular expression cannot constrain a text.

    The message says why and reads on from the name of the field, as in "pattern: is too large".
    """


class CorrelationError(CharstreamError):
    """A property or a span of a text cannot be correlated with cells. The message says why."""


class CheckpointError(CharstreamError):
    """A checkpoint is missing or damaged, or its tensors do not fit its config."""


class CorpusError(CharstreamError):
    """A text cannot be read, or is too short to train on."""


class TrainingError(CharstreamError):
    """A training run cannot start or continue."""


class OutputError(CharstreamError):
    """Standard output or a file of results cannot be written."""


class DeviceError(CharstreamError):
    """The requested device, precision or kernel is not available on this machine."""
