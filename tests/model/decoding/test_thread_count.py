"""The choice of the number of threads by a short measurement."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig
from model.decoding import thread_count
from model.decoding.backend import StepInput, StepOutput
from model.decoding.thread_count import candidates, choose_threads, fastest, measure
from model.native import library as native_library
from model.native.backend import NativeBackend
from model.pytorch.network import CharLSTM

times = st.floats(1e-7, 10)


@given(most=st.integers(1, 1024))
def test_the_candidates_are_few_and_end_with_the_most(most: int) -> None:
    counts = candidates(most)
    assert counts == sorted(set(counts))
    assert counts[-1] == most
    assert counts[0] == min(most, 2)
    assert len(counts) <= 20
    assert all(larger <= smaller * 1.5 for smaller, larger in itertools.pairwise(counts))


@given(seconds=st.dictionaries(st.integers(1, 64), times, min_size=1))
def test_the_choice_is_at_most_3_percent_slower_than_the_fastest(
    seconds: dict[int, float],
) -> None:
    chosen = fastest(seconds)
    assert seconds[chosen] <= 1.03 * min(seconds.values())
    larger = [seconds[count] for count in seconds if count > chosen]
    assert all(time > 1.03 * min(seconds.values()) for time in larger)


@given(seconds=st.dictionaries(st.integers(1, 64), times, min_size=1), factor=st.floats(0.5, 2))
def test_the_choice_does_not_depend_on_the_unit_of_time(
    seconds: dict[int, float], factor: float
) -> None:
    """Up to rounding, which could decide a tie: so with powers of two."""
    factor = 2.0 ** round(factor * 4)
    assert fastest({count: time * factor for count, time in seconds.items()}) == fastest(seconds)


@given(
    true=st.dictionaries(st.integers(1, 8), times, min_size=1, max_size=4),
    data=st.data(),
)
def test_a_disturbance_of_one_round_changes_nothing(
    true: dict[int, float], data: st.DataObject
) -> None:
    disturbed = data.draw(st.integers(0, 2))
    calls: dict[int, Iterator[int]] = {count: iter(range(3)) for count in true}
    measured = measure(
        sorted(true),
        lambda count: true[count] * (9 if next(calls[count]) == disturbed else 1),
    )
    assert measured is None or measured == true  # None if this machine stopped for 60 ms


class SlowBackend:
    """A backend whose steps take longer the fewer threads there are, and far too long at all."""

    def __init__(self) -> None:
        self.threads, self.steps = 0, 0

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def step(self, inputs: StepInput) -> StepOutput:
        self.steps += 1
        time.sleep(0.1)
        return StepOutput(np.zeros(inputs.forced_ids_kS.shape, np.int64), None)


def test_a_network_that_is_too_large_to_measure_uses_all_threads() -> None:
    backend = SlowBackend()
    choose_threads(backend, slots=4, most=8)
    assert backend.threads == 8
    assert backend.steps <= 3


@pytest.mark.parametrize("most", [1, 2])
def test_up_to_two_threads_are_not_measured(most: int) -> None:
    backend = SlowBackend()
    choose_threads(backend, slots=4, most=most)
    assert backend.threads == most
    assert backend.steps == 0


@pytest.mark.skipif(not native_library.kernels(), reason="the native kernel is not compiled here")
def test_a_real_backend_is_measured_within_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured on a network that is fast even while other processes use all cores."""
    torch.manual_seed(0)
    network = CharLSTM(NetworkConfig(20, 32, 1))
    kernel = native_library.kernels()[0]
    backend = NativeBackend(network.config, network.weights(), 4, kernel, threads=4)
    choose_threads(backend, slots=4, most=4)
    assert backend.threads in (2, 3, 4)
    monkeypatch.setattr(thread_count, "fastest", lambda seconds: 3)
    monkeypatch.setattr(thread_count, "_MAX_SECONDS", 60)
    choose_threads(backend, slots=4, most=4)
    assert backend.threads == 3
