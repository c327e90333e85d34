"""The learning rate: its rise and its fall."""

from __future__ import annotations

from itertools import pairwise

import pytest

from training.learning_rate import learning_rate


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, peak=1.0, warmup=10) for step in range(100)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.01, abs=0.01)


def test_a_short_run_warms_up_for_a_tenth_of_it() -> None:
    rates = [learning_rate(step, 20, peak=1.0, warmup=200) for step in range(20)]
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0], abs=0.01)
