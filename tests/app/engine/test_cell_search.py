"""A job that searches for cells: it reads its text twice, beside other generations."""

from __future__ import annotations

import asyncio
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.cell_search import CellFinder, CellSearch
from app.engine.chunk import Chunk
from app.engine.job import Job
from app.engine.sequence import Sequence
from app.engine.slow_reader import OutputBuffer
from model.cells.correlation import strongest
from model.checkpoints.checkpoint import Checkpoint
from model.choice.read_cells import CellNumbers, CellValues
from model.decoding.decoder import Decoder
from tests.app.engine.tiny_engine import alone, job, read, running, until
from tests.conftest import make_checkpoint
from tests.model.cells.test_correlation import correlate

tiny_checkpoint = make_checkpoint()
ALL = np.arange(64, dtype=np.int32)
LENGTH = 700


def cells_job(
    seed: int, cells: CellNumbers, search: CellSearch | None = None, length: int = LENGTH
) -> Job:
    ids = np.random.default_rng(seed).integers(0, 40, length + 4).astype(np.int32)
    return Job(ids, prompt_length=4, cells=cells, search=search)


def search_job(seed: int, top: int = 3, length: int = LENGTH) -> Job:
    property_n = np.random.default_rng(seed).integers(0, 2, length).astype(np.float64)
    return cells_job(seed, ALL, CellSearch(property_n, top), length)


def all_values(seed: int) -> CellValues:
    decoder = Decoder(tiny_checkpoint, 1)
    decoder.join(cells_job(seed, ALL).stream())
    return decoder.advance(LENGTH + 3).cells[0][3:]


@settings(max_examples=5)
@given(
    seeds=st.lists(st.integers(0, 100), min_size=1, max_size=6),
    slots=st.integers(1, 4),
    cache=st.sampled_from([0, 1 << 20]),
)
def test_searches_beside_other_jobs_find_the_same_cells_as_alone(
    seeds: list[int], slots: int, cache: int
) -> None:
    texts = [job(length=200, seed=seed) for seed in seeds]

    async def scenario() -> None:
        async with running(tiny_checkpoint, slots=slots, cache=cache) as engine:
            generations = [engine.submit(search_job(seed)) for seed in seeds]
            beside = [engine.submit(text) for text in texts]
            chunks = await asyncio.gather(*(generation.read() for generation in generations))
            expected_texts = [alone(tiny_checkpoint, text) for text in texts]
            assert await asyncio.gather(*map(read, beside)) == expected_texts
            for seed, generation, chunk in zip(seeds, generations, chunks, strict=True):
                values = all_values(seed)
                search = generation.job.search
                assert search is not None
                coefficients = correlate(values, search.property_n)
                assert generation.found is not None
                best = strongest(coefficients, 3)
                assert generation.found.cells.tolist() == best.tolist()
                assert generation.found.correlations == pytest.approx(coefficients[best])
                assert chunk.cells is not None
                assert chunk.cells.tobytes() == values[:, best].tobytes()
                assert generation.generated == LENGTH

    asyncio.run(scenario())


@pytest.mark.parametrize("passes", [1, 2])
async def test_a_cancelled_search_frees_its_slot(tiny: Checkpoint, passes: int) -> None:
    async with running(tiny, slots=1) as engine:
        generation = engine.submit(search_job(1, length=5_000))
        sequence = generation.sequence
        assert sequence is not None
        await until(lambda: sequence.stream.read if passes == 1 else sequence.found)
        generation.cancel()
        await until(lambda: engine.scheduler.idle)
        assert len(await read(engine.submit(job(length=10)))) == 10


def test_a_search_counts_the_steps_of_both_readings() -> None:
    sequence = Sequence(search_job(1), OutputBuffer(), lambda _: None)
    assert sequence.steps_left == 2 * (LENGTH + 3)


def test_a_finder_takes_chunks_of_any_size() -> None:
    values, search = all_values(2), search_job(2, top=64).search
    assert search is not None
    whole, finder = CellFinder(search, ALL), CellFinder(search, ALL)
    whole.add(values)
    for part in np.split(values, [1, 2, 100, 101, 500]):
        finder.add(part)
    assert finder.found().cells.tolist() == whole.found().cells.tolist()
    assert finder.found().correlations == pytest.approx(whole.found().correlations)


def test_chunks_with_values_of_cells_are_joined_and_split() -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    whole = Chunk(array("i", range(6)), None, values)
    for count in range(7):
        first, rest = whole.split(count)
        assert first.cells is not None
        assert len(first) == len(first.cells) == count
        joined = (first + rest).cells
        assert joined is not None
        assert joined.tolist() == values.tolist()
