"""Sampling: what may be drawn, how often, and by which random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.choice.sampling_params import SamplingParams, check_seed, uniforms
from model.errors import SamplingError
from model.pytorch import sampling as torch_sampling
from model.pytorch.sampling import SamplingRows, next_ids, sampling_probabilities

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module", params=["sums of a CPU", "sums of a GPU"])
def _sums(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test with both ways to add probabilities."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sums of a GPU":
            patch.setattr(torch_sampling, "sampling_weights", torch.exp)
            patch.setattr(torch_sampling, "cumulative_sums", torch_sampling.exact_sums)
        yield


params_strategy = st.builds(
    SamplingParams,
    temperature=st.one_of(st.just(0.0), st.floats(0, 100)),
    top_k=st.one_of(st.none(), st.integers(1, 10**12)),
    top_p=st.one_of(st.none(), st.floats(0, 1, exclude_min=True)),
    min_p=st.one_of(st.none(), st.floats(0, 1)),
)


def draw(logits: Tensor, params: list[SamplingParams], numbers: Tensor) -> list[int]:
    rows = SamplingRows.of(params, logits.shape[1], CPU)
    return list(next_ids(logits, numbers, rows).tolist())


def reference_distribution(logits: Tensor, params: SamplingParams) -> npt.NDArray[np.float64]:
    """The same filters, one after the other, in float64 for one stream."""
    values: npt.NDArray[np.float64] = logits.double().numpy()
    order = np.argsort(-values, kind="stable")
    if params.temperature == 0:
        return np.bincount(order[:1], minlength=len(values)).astype(np.float64)
    weights: npt.NDArray[np.float64] = np.exp((values - values.max()) / params.temperature)
    for rank, index in enumerate(order):
        if params.top_k is not None and rank >= params.top_k:
            weights[index] = 0
    weights /= weights.sum()
    if params.top_p is not None:
        before = np.cumsum(weights[order]) - weights[order]
        weights[order[before >= params.top_p]] = 0
        weights /= weights.sum()
    if params.min_p is not None:
        weights[weights < params.min_p * weights.max()] = 0
        weights /= weights.sum()
    return weights


@given(params_strategy, st.integers(0, 2**32), st.integers(2, 50))
def test_what_is_drawn_could_be_drawn(params: SamplingParams, seed: int, size: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, size, generator=random) * 5
    uniform = torch.rand(1, generator=random)
    (chosen,) = draw(logits, [params], uniform)
    rank = int((logits[0] > logits[0, chosen]).sum())
    assert params.top_k is None or rank < params.top_k
    if params.temperature == 0:
        assert chosen == int(logits.argmax())
    if params.min_p and params.temperature > 0:
        ratio = torch.exp((logits[0, chosen] - logits.max()).double() / params.temperature)
        assert float(ratio) >= params.min_p * (1 - 1e-5)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(top_k=None),
        SamplingParams(temperature=0),
        SamplingParams(temperature=0.5, top_k=3),
        SamplingParams(temperature=2, top_k=None, top_p=0.7),
        SamplingParams(top_k=8, top_p=0.8),
        SamplingParams(top_k=None, min_p=0.2),
        SamplingParams(temperature=1.5, top_k=9, top_p=0.9, min_p=0.1),
    ],
)
def test_characters_come_as_often_as_they_are_likely(params: SamplingParams) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(1)) * 2
    numbers = (torch.arange(20_000) + 0.5) / 20_000
    drawn = draw(logits.expand(20_000, -1), [params] * 20_000, numbers)
    frequencies = np.bincount(drawn, minlength=12) / 20_000
    expected = reference_distribution(logits, params)
    np.testing.assert_allclose(frequencies, expected, atol=2e-4)
    rows = SamplingRows.of([params], 12, CPU)
    np.testing.assert_allclose(sampling_probabilities(logits[None], rows)[0], expected, atol=1e-5)


@given(
    params=st.lists(params_strategy, min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([1, 4, 20]),
    largest=st.booleans(),
)
def test_a_stream_does_not_depend_on_its_neighbours(
    params: list[SamplingParams], seed: int, spread: float, largest: bool
) -> None:
    """Bit for bit, and in the tail of the distribution as well, which the largest uniform draws."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(params), 83, generator=random) * spread
    numbers = torch.rand(len(params), generator=random)
    if largest:
        numbers.fill_(1 - 2**-24)
    together = draw(logits, params, numbers)
    probabilities = sampling_probabilities(logits, SamplingRows.of(params, 83, CPU))
    for i, p in enumerate(params):
        row = slice(i, i + 1)
        assert draw(logits[row], [p], numbers[row]) == [together[i]]
        alone = sampling_probabilities(logits[row], SamplingRows.of([p], 83, CPU))
        assert torch.equal(alone[0], probabilities[i])


@pytest.mark.parametrize("neighbour", [SamplingParams(top_p=0.9), SamplingParams(min_p=0.5)])
def test_a_neighbours_filter_keeps_the_tail_of_the_others(neighbour: SamplingParams) -> None:
    """In float32 the first probability rounds to 1, but the others can still be drawn."""
    logits = torch.tensor([0.0, -17.0, -17.0]).expand(2, 3)
    everything = SamplingParams(top_k=None)
    rows = SamplingRows.of([everything, neighbour], 3, CPU)
    alone = sampling_probabilities(logits[:1], SamplingRows.of([everything], 3, CPU))
    assert alone[0, 2] > 0
    assert torch.equal(sampling_probabilities(logits, rows)[0], alone[0])


def test_equal_logits_are_ordered_by_id() -> None:
    logits = torch.zeros(1, 5)
    greedy = SamplingParams(temperature=0)
    assert draw(logits, [greedy], torch.tensor([0.99])) == [0]
    assert draw(logits, [SamplingParams(top_k=2)], torch.tensor([0.99])) == [1]


def test_the_largest_uniform_stays_inside_the_vocabulary() -> None:
    logits = torch.randn(64, 83)
    ones = torch.ones(64)  # larger than any drawn number
    drawn = draw(logits, [SamplingParams(top_k=None)] * 64, ones)
    assert all(0 <= i < 83 for i in drawn)


@given(st.integers(0, 2**63 - 1), st.integers(0, 300), st.integers(0, 300))
def test_a_uniform_depends_only_on_its_seed_and_index(seed: int, some: int, more: int) -> None:
    source = uniforms(seed)
    pieces = [source.random(count, dtype=np.float32) for count in (some, more)]
    drawn = np.concatenate(pieces)
    assert ((drawn >= 0) & (drawn < 1)).all()
    np.testing.assert_array_equal(uniforms(seed).random(some + more, dtype=np.float32), drawn)


def test_the_uniforms_of_a_seed_never_change() -> None:
    assert uniforms(7).random(3, dtype=np.float32).tolist() == pytest.approx(
        [0.2686386, 0.4688175, 0.9738699], abs=1e-6
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 101),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("min_p", -0.1),
        ("min_p", 1.1),
    ],
)
def test_a_parameter_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(SamplingError, match=field):
        SamplingParams(**{field: value})  # type: ignore[arg-type]


def test_a_seed_out_of_range_is_refused() -> None:
    assert check_seed(2**63 - 1) == 2**63 - 1
    for seed in (-1, 2**63):
        with pytest.raises(SamplingError, match="seed"):
            check_seed(seed)
