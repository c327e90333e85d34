"""The results do not depend on the number of threads, even if there are more threads than cores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig
from model.choice.sampling_params import SamplingParams
from model.native import library as native_library
from model.native import team
from model.native.team import PATIENCE, TeamSize
from model.pytorch.network import CharLSTM
from tests.kernels import KERNELS, needs_kernel
from tests.model.native.test_backend import make, params, random_input, results

pytestmark = needs_kernel

_MAX_THREADS = 16


@st.composite
def networks(draw: st.DrawFn) -> CharLSTM:
    """Networks whose tiles do and do not divide evenly among the threads."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers, vocabulary = draw(st.integers(1, 3)), draw(st.sampled_from([2, 83, 1100]))
    return CharLSTM(NetworkConfig(vocabulary, draw(st.integers(1, 300)), layers))


@settings(max_examples=12, deadline=None)
@given(
    network=networks(),
    sampling=st.lists(params, min_size=1, max_size=20),
    threads=st.lists(st.integers(2, _MAX_THREADS), min_size=2, max_size=2, unique=True),
    seed=st.integers(0, 1000),
)
def test_any_number_of_threads_gives_the_same_bits(
    network: CharLSTM, sampling: list[SamplingParams], threads: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    slots = len(sampling)
    inputs = [random_input(random, network.config.vocabulary_size, 5, slots) for _ in range(2)]
    expected = results(make(network, slots, "plain"), sampling, inputs)
    for kernel in KERNELS:
        for count in threads:
            assert results(make(network, slots, kernel, count), sampling, inputs) == expected


@settings(max_examples=12, deadline=None)
@given(
    network=networks(),
    sampling=st.lists(params, min_size=1, max_size=20),
    most=st.integers(2, _MAX_THREADS),
    sizes=st.lists(st.integers(1, _MAX_THREADS), min_size=4, max_size=4),
    patience=st.sampled_from([0, PATIENCE]),
    seed=st.integers(0, 1000),
)
def test_a_number_of_threads_that_changes_gives_the_same_bits(
    network: CharLSTM,
    sampling: list[SamplingParams],
    most: int,
    sizes: list[int],
    patience: int,
    seed: int,
) -> None:
    """Without patience, it is also halved after each step of a call."""
    random = np.random.default_rng(seed)
    slots = len(sampling)
    inputs = [random_input(random, network.config.vocabulary_size, 5, slots) for _ in sizes]
    expected = results(make(network, slots, "plain"), sampling, inputs)
    for kernel in KERNELS:
        backend = make(network, slots, kernel, most)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(team, "PATIENCE", patience)
            chosen = iter([min(size, most) for size in sizes])
            patch.setattr(TeamSize, "choose", lambda self, now, chosen=chosen: next(chosen))
            assert results(backend, sampling, inputs) == expected


def test_a_team_without_patience_halves_its_threads_after_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(team, "PATIENCE", 0)
    ends: list[int] = []
    monkeypatch.setattr(TeamSize, "record", lambda self, now, threads: ends.append(threads))
    backend = make(CharLSTM(NetworkConfig(20, 64, 2)), 1, KERNELS[0], threads=8)
    random = np.random.default_rng(0)
    for steps in (1, 2, 3, 4):
        backend.step(random_input(random, 20, steps, 1))
    assert ends == [4, 2, 1, 1]


def test_a_limit_lets_fewer_threads_compute_and_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    network = CharLSTM(NetworkConfig(83, 130, 2))
    inputs = [random_input(np.random.default_rng(2), 83, 4, 3)]
    sampling = [SamplingParams()] * 3
    expected = results(make(network, 3, KERNELS[0], 1), sampling, inputs)
    library = native_library.library()
    assert library is not None
    run, begun = library.charstream_run, []

    def note_and_run(team: object, batch: object, threads: int, patience: int) -> Any:
        begun.append(threads)
        return run(team, batch, threads, patience)

    monkeypatch.setattr(library, "charstream_run", note_and_run)
    for limit in (0, 1, 3, 9):
        backend = make(network, 3, KERNELS[0], 4)
        backend.limit_threads(limit)
        assert results(backend, sampling, inputs) == expected
        assert backend.threads == 4
    assert begun == [1, 1, 3, 4]
