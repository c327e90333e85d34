"""Every error that this project raises on purpose.

CharstreamError
├── UnknownCharacterError   a text has characters that the vocabulary lacks
├── VocabularyError         a vocabulary that cannot be one
├── SamplingError           a sampling parameter out of its range
├── CheckpointError         a checkpoint that is missing, damaged or of another shape
├── CorpusError             a text that cannot be read or trained on
├── TrainingError           a training run that cannot start or go on
└── DeviceError             a device or precision that this machine does not have
"""

from __future__ import annotations

from collections.abc import Sequence


class CharstreamError(Exception):
    """Base of all errors below; its text is fit to be shown to a user."""


class VocabularyError(CharstreamError):
    """The characters given cannot form a vocabulary."""


class UnknownCharacterError(CharstreamError):
    """A text holds characters that are not in the vocabulary.

    Args:
        characters: the distinct unknown characters, in order of appearance.
        positions: for each of them, where it first stands (counted from 0).
    """

    shown = 10

    def __init__(self, characters: Sequence[str], positions: Sequence[int]) -> None:
        self.characters = tuple(characters)
        self.positions = tuple(positions)
        shown = zip(self.characters[: self.shown], self.positions, strict=False)
        named = [
            f"{character!a} (U+{ord(character):04X}) at position {position}"
            for character, position in shown
        ]
        rest = len(self.characters) - len(named)
        listing = ", ".join(named) + (f" and {rest} more" if rest > 0 else "")
        super().__init__(f"characters that the model's vocabulary lacks: {listing}")


class SamplingError(CharstreamError):
    """A sampling parameter is out of its range; names the field, the value and the bound."""


class CheckpointError(CharstreamError):
    """A checkpoint is missing, damaged, or not of the shape that it claims."""


class CorpusError(CharstreamError):
    """A text cannot be read, or is too little to train on."""


class TrainingError(CharstreamError):
    """A training run cannot start, or cannot go on."""


class DeviceError(CharstreamError):
    """The device or precision asked for is not to be had on this machine."""
