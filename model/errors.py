"""Exceptions that `model` and `training` raise, and their base class.

CharstreamError
├── UnknownCharacterError   a text has characters that are not in the vocabulary
├── VocabularyError         the given characters cannot form a vocabulary
├── SamplingError           a sampling parameter is out of range
├── CheckpointError         a checkpoint is missing, damaged or inconsistent
├── CorpusError             a text cannot be read, or is too short to train on
├── TrainingError           a training run cannot start or continue
├── DeviceError             a device, precision or kernel is not available on this machine
└── EngineError             a stream that cannot be served
    ├── QueueFullError      every slot and every place in the queue is taken
    ├── DeadlineError       a text took longer than the operator allows
    └── DrainingError       the service is shutting down
"""

from __future__ import annotations

from collections.abc import Sequence


def describe_character(character: str) -> str:
    """Return a character for a message: itself where it can be printed, and its code point.

    `é` gives "'é' (U+00E9)". Control characters and surrogates are escaped, as `repr` does.
    """
    return f"{character!r} (U+{ord(character):04X})"


class CharstreamError(Exception):
    """Base class. The message is meant for users and can be shown to them as it is."""


class VocabularyError(CharstreamError):
    """The given characters cannot form a vocabulary."""


class UnknownCharacterError(CharstreamError):
    """A text has characters that are not in the vocabulary.

    Args:
        characters: the distinct unknown characters, in order of appearance.
        positions: index of the first occurrence of each, counted from 0.
    """

    max_listed = 10  # further characters are counted in the message, but not listed

    def __init__(self, characters: Sequence[str], positions: Sequence[int]) -> None:
        self.characters = tuple(characters)
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
    """A sampling parameter is out of range. The message has the field, the value and the range."""


class CheckpointError(CharstreamError):
    """A checkpoint is missing or damaged, or its tensors do not fit its config."""


class CorpusError(CharstreamError):
    """A text cannot be read, or is too short to train on."""


class TrainingError(CharstreamError):
    """A training run cannot start or continue."""


class DeviceError(CharstreamError):
    """The requested device, precision or kernel is not available on this machine."""


class EngineError(CharstreamError):
    """A stream cannot be served."""


class QueueFullError(EngineError):
    """No slot is free and the waiting queue is full.

    Args:
        retry_after: seconds after which a place is likely to be free.
    """

    def __init__(self, waiting: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"the queue is full ({waiting} waiting); try again in {retry_after:.0f} s")


class DeadlineError(EngineError):
    """A text took longer than this server allows.

    Args:
        seconds: that it may take.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the text was not done within this server's limit of {seconds:g} s")


class DrainingError(EngineError):
    """The service is shutting down and takes no new streams."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down")
