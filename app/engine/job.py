"""Job: the description of a text that the engine generates or scores."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from app.engine.cell_search import CellSearch
from model.choice.read_cells import NO_CELLS, CellNumbers
from model.choice.sampling_params import SamplingParams
from model.decoding.beam_search import BeamSearchParams
from model.decoding.decoder_stream import DecoderStream
from model.decoding.text_scoring import Texts, TextScoring
from model.text.vocabulary import Ids


@dataclass(frozen=True)
class Job:
    """The parameters of one generation.

    A job that only reads generates no characters, and needs no sampling parameters and no seed.
    """

    prime: Ids  # what the network reads, at least one id: the prompt, and then a text to score
    length: int = 0  # number of characters to generate
    params: SamplingParams = field(default_factory=SamplingParams)
    seed: int = 0  # of the random numbers, 0..2^63-1
    stops: tuple[tuple[int, ...], ...] = ()  # none is empty; the text ends before the first match
    prime_characters: int = 0  # of the user's prime, which may be empty although `prime` is not
    alternatives: int | None = None  # top alternatives to report per character; None: no scores
    prompt_length: int | None = None  # ids of `prime` that are the prompt; None: all of them
    cells: CellNumbers = field(default_factory=lambda: NO_CELLS)  # to report, or to search
    search: CellSearch | None = None  # the job reports the values of the cells that it finds
    beam_search: BeamSearchParams | None = None  # for suggestions; then nothing is generated
    texts: Texts | None = None  # to score, each after `prime`; then nothing is generated
    client: Hashable = None  # who sent it: the digest of a key, or an address
    detail: bool = False  # whether to keep the scores of the texts' characters beside their sums

    @property
    def owner(self) -> bytes:
        """Who may find its states in the prefix cache: who has the key, or everyone."""
        return self.client if isinstance(self.client, bytes) else b""

    def stream(self) -> DecoderStream:
        """Return a new decoder stream for this job."""
        return DecoderStream(
            self.prime,
            self.length,
            self.params,
            self.seed,
            self.alternatives,
            self.prompt_length,
            self.cells,
        )

    def scoring(self) -> TextScoring | None:
        """Return new scores of this job's texts, or None if it has none."""
        if self.texts is None:
            return None
        return TextScoring(self.texts, self.prime, self.alternatives or 0, self.detail)
