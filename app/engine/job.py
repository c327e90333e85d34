"""Job: the description of a text that the engine generates or scores."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.engine.cell_search import CellSearch
from model.choice.read_cells import NO_CELLS, CellNumbers
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import DecoderStream
from model.decoding.text_scoring import Texts, TextScoring
from model.text.vocabulary import Ids


@dataclass(frozen=True)
class Job:
    """The parameters of one generation.

    Attributes:
        prime: ids that the network reads, at least one. These are the prompt and, in a job that
            scores a text, the ids of that text.
        length: number of characters to generate. A job that only reads generates none, and needs
            no parameters and no seed.
        params: sampling parameters.
        seed: seed of the random numbers, 0..2^63-1.
        stops: ids of the stop strings, none of them empty. The text ends before the first match.
        prime_characters: number of characters of the user's prime. It may be 0 although `prime`
            has an id.
        alternatives: number of top alternatives to report per character. None disables scores.
        prompt_length: number of ids of `prime` that belong to the prompt, by default all of them.
            The other ids are scored as if they had been drawn.
        cells: cells whose values to report. With a search, the cells to search.
        search: the search for cells. The job then reports the values of the cells that it finds.
        texts: texts to score, each of them after `prime`. Then nothing is generated.
        detail: whether to keep the scores of the texts' characters, and not only their sums.
    """

    prime: Ids
    length: int = 0
    params: SamplingParams = field(default_factory=SamplingParams)
    seed: int = 0
    stops: tuple[tuple[int, ...], ...] = ()
    prime_characters: int = 0
    alternatives: int | None = None
    prompt_length: int | None = None
    cells: CellNumbers = field(default_factory=lambda: NO_CELLS)
    search: CellSearch | None = None
    texts: Texts | None = None
    detail: bool = False

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
