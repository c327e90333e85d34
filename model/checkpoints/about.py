"""About: what people want to know of a model: which text it has read, and how to begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

_MAX_LENGTHS = {"title": 200, "source": 500, "prime": 1000}  # characters


@dataclass(frozen=True)
class About:
    """A description of a model. It is not part of the model and its hash.

    Raises:
        ValueError: if a text is too long, or if a title or a source is not one printable line.
    """

    title: str = ""  # of the text that the model learned from
    source: str = ""  # where the text comes from
    prime: str = ""  # an example to begin with

    def __post_init__(self) -> None:
        for name, text in asdict(self).items():
            if len(text) > (most := _MAX_LENGTHS[name]):
                raise ValueError(
                    f"{name}: must have at most {most} characters, got {len(text):,} characters"
                )
            if name != "prime" and not text.isprintable():
                raise ValueError(f"{name}: must be one printable line, got {text!a:.60}")

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> About:
        """Return the description in the metadata of a checkpoint. Raise ValueError as above."""
        return cls(**{name: metadata.get(name, "") for name in _MAX_LENGTHS})

    @property
    def metadata(self) -> dict[str, str]:
        """The texts that are not empty, by their keys."""
        return {name: text for name, text in asdict(self).items() if text}


ABOUT_KEYS = tuple(_MAX_LENGTHS)
