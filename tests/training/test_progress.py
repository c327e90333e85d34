"""The forecast of a run's last validation loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.progress import forecast

# Losses of the first model's run, ten epochs of Anna Karenina.
RUN = [(1, 1.788), (2, 1.447), (3, 1.353), (4, 1.310), (5.5, 1.266), (7, 1.246), (8, 1.241)]
END = 1.2392


@pytest.mark.parametrize(("known", "tolerance"), [(2, 0.07), (4, 0.05), (5, 0.03), (7, 0.02)])
def test_the_end_of_a_real_run_is_met_about(known: int, tolerance: float) -> None:
    points = [(round(100 * epoch), loss) for epoch, loss in RUN[:known]]
    assert forecast(points, 1000) == pytest.approx(END, abs=tolerance)


def test_nothing_is_said_too_early() -> None:
    assert forecast([(10, 3.0)], 20) is None
    assert forecast([(10, 3.0), (20, 2.5)], 1000) is None


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30), st.integers(0, 1000))
def test_the_lowest_loss_cannot_rise(losses: list[float], more: int) -> None:
    points = [(100 * number, loss) for number, loss in enumerate(losses, 1)]
    expected = forecast(points, points[-1][0] + more)
    assert expected is None or expected <= min(losses)
