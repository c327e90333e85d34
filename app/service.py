"""Service: a loaded model and its engine. It turns ids and parameters into jobs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.engine.cell_search import CellSearch
from app.engine.engine import Engine
from app.engine.job import Job
from app.pattern_cache import PatternCache
from app.settings import Settings
from model.checkpoints.checkpoint import Checkpoint
from model.choice.read_cells import CellNumbers
from model.choice.sampling_params import SamplingParams
from model.decoding.beam_search import BeamSearchParams
from model.decoding.decoder import Decoder
from model.decoding.text_scoring import Texts
from model.errors import UnknownCharacterError
from model.patterns.pattern import Pattern, any_of
from model.text.properties import is_of_word
from model.text.vocabulary import Ids, Vocabulary


def in_word(character: str) -> bool:
    """Return whether a character can be part of a word: letters, numbers, apostrophes and _."""
    return is_of_word(character) or character in "'\u2019_"


class ModelId(NamedTuple):
    """The name of a model, and the hash of its checkpoint: 16 hex digits."""

    name: str
    hash: str


@dataclass(frozen=True, eq=False)
class Service:
    """One loaded model with its engine. `ModelLoader` creates it at startup or at a reload.

    The methods take ids and parameters. The endpoints translate their requests into these calls.
    """

    settings: Settings
    checkpoint: Checkpoint
    decoder: Decoder
    engine: Engine
    path: Path  # of the checkpoint
    loaded: float = field(default_factory=time.time)  # seconds since 1970
    patterns: PatternCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", PatternCache(self.vocabulary))

    @property
    def model(self) -> ModelId:
        """The name and the hash of the loaded model."""
        return ModelId(self.checkpoint.name, self.checkpoint.hash)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.checkpoint.vocabulary

    def __str__(self) -> str:
        config, threads = self.checkpoint.config, self.decoder.threads
        return (
            f"{self.path} ({self.model.hash}): "
            f"{config.layers} x {config.hidden_size}, {len(self.vocabulary)} characters, "
            f"on {self.decoder.device} in {self.decoder.precision} by {self.decoder.kernel}"
            f" with {threads} {'thread' if threads == 1 else 'threads'}"
        )

    @property
    def idle(self) -> bool:
        """Whether no generation is queued or running, and none waits for its pattern."""
        return self.engine.scheduler.idle and not self.patterns.waiting

    def generation_job(
        self,
        prime: Ids,
        length: int,
        params: SamplingParams,
        seed: int | None = None,
        stops: Sequence[str] = (),
        alternatives: int | None = None,
    ) -> Job:
        """Return a job that generates text, see `Job`.

        The prime may be empty, see `Vocabulary.prompt`. Without a seed, it gets a random one.
        """
        return Job(
            prime=self.vocabulary.prompt(prime),
            length=length,
            params=params,
            seed=secrets.randbits(32) if seed is None else seed,
            stops=self._encode_stops(stops),
            prime_characters=len(prime),
            alternatives=alternatives,
        )

    def score_job(self, prime: Ids, text: Ids, alternatives: int, memory: bool = False) -> Job:
        """Return a job that scores each character of `text` after `prime`, which may be empty."""
        prompt = self.vocabulary.prompt(prime)
        return Job(
            prime=np.concatenate([prompt, text]),
            params=SamplingParams(memory=memory),
            prime_characters=len(prime),
            alternatives=alternatives,
            prompt_length=len(prompt),
        )

    def bulk_job(self, prime: Ids, texts: Texts, alternatives: int, detail: bool) -> Job:
        """Return a job that scores each of `texts` after `prime`, which may be empty."""
        return Job(
            prime=self.vocabulary.prompt(prime),
            prime_characters=len(prime),
            alternatives=alternatives,
            texts=texts,
            detail=detail,
        )

    def cells_job(self, prime: Ids, text: Ids, cells: CellNumbers) -> Job:
        """Return a job that reports the values of cells after each character of a text.

        The prime may be empty, the text not. Cell c of layer l has number l * hidden_size + c.
        """
        prompt = self.vocabulary.prompt(prime)
        # A step reports the values after the character that it reads. So the first one that counts
        # reads the first character of the text, and one more id stands after the last one.
        return Job(
            prime=np.concatenate([prompt, text, text[:1]]),
            prime_characters=len(prime),
            prompt_length=len(prompt) + 1,
            cells=cells,
        )

    @cached_property
    def boundaries(self) -> dict[str, Pattern]:
        """By the name of a boundary, the pattern of the texts up to it."""
        characters = self.vocabulary.characters
        return {
            "word": any_of(np.array([in_word(one) for one in characters])),
            "line": any_of(np.array([one != "\n" for one in characters])),
        }

    def suggestion_job(self, prime: Ids, search: BeamSearchParams, memory: bool) -> Job:
        """Return a job that searches for the most probable continuations of a text."""
        return Job(
            prime=self.vocabulary.prompt(prime),
            params=SamplingParams(memory=memory),
            prime_characters=len(prime),
            beam_search=search,
        )

    def search_job(self, prime: Ids, text: Ids, search: CellSearch) -> Job:
        """Return a job that searches all cells and then does what `cells_job` describes."""
        config = self.checkpoint.config
        cells = np.arange(config.layers * config.hidden_size, dtype=np.int32)
        return replace(self.cells_job(prime, text, cells), search=search)

    def _encode_stops(self, stops: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Return the ids of the stop strings that can occur, those without unknown characters."""
        ids = []
        for text in stops:
            with suppress(UnknownCharacterError):
                ids.append(tuple(self.vocabulary.encode(text).tolist()))
        return tuple(ids)
