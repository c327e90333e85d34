"""Team sizes: fewer threads while others keep the cores busy, all threads soon after that."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from model.native.team import TeamSize

_CALL = 0.01  # seconds of a call
_MAX_PAUSE = 1.0

mosts = st.integers(1, 64)


@dataclass
class Machine:
    """Calls of a team, on a machine that lets up to `fitting` threads run at the same time."""

    size: TeamSize
    now: float = 0.0

    def call(self, fitting: int) -> int:
        """Make a call, and return the number of threads that began it."""
        began = self.size.choose(self.now)
        self.now += _CALL
        self.size.record(self.now, began if began <= fitting else (began + 1) // 2)
        return began

    def calls(self, seconds: float, fitting: int) -> list[int]:
        """Make calls for some time."""
        return [self.call(fitting) for _ in range(round(seconds / _CALL))]


loads = st.lists(st.tuples(st.floats(0.1, 5), mosts), max_size=4)


@given(most=mosts, start=st.floats(0, 1e9), gaps=st.lists(st.floats(0, 100), max_size=50))
def test_an_idle_machine_computes_with_all_threads(
    most: int, start: float, gaps: list[float]
) -> None:
    size = TeamSize(most)
    for gap in gaps:
        start += gap
        assert size.choose(start) == most
        size.record(start, most)


@given(most=mosts, loads=loads)
def test_the_number_is_between_one_and_the_maximum(
    most: int, loads: list[tuple[float, int]]
) -> None:
    machine = Machine(TeamSize(most))
    for seconds, fitting in loads:
        assert all(1 <= threads <= most for threads in machine.calls(seconds, fitting))


@given(most=mosts, loads=loads)
def test_all_threads_compute_again_soon_after_a_busy_time(
    most: int, loads: list[tuple[float, int]]
) -> None:
    machine = Machine(TeamSize(most))
    for seconds, fitting in loads:
        machine.calls(seconds, fitting)
    machine.calls(_MAX_PAUSE + _CALL, fitting=most)
    assert set(machine.calls(5, fitting=most)) == {most}


@given(most=st.integers(2, 64), loads=loads, data=st.data())
def test_a_machine_that_stays_busy_sees_few_trials(
    most: int, loads: list[tuple[float, int]], data: st.DataObject
) -> None:
    fitting = data.draw(st.integers(1, most - 1))
    machine = Machine(TeamSize(most))
    for seconds, other in loads:
        machine.calls(seconds, other)
    machine.calls(5, fitting)
    calls = machine.calls(10, fitting)
    assert calls.count(most) <= 11
    assert sum(threads > fitting for threads in calls) <= 0.08 * len(calls)


@given(most=st.integers(2, 64), length=st.floats(0.1, 10))
def test_a_short_disturbance_costs_a_short_pause(most: int, length: float) -> None:
    """However long ago the one before was: the pauses do not add up."""
    machine = Machine(TeamSize(most))
    for _ in range(5):
        machine.calls(1 + length, fitting=most)
        machine.call(fitting=most - 1)
        assert machine.calls(0.15, fitting=most).count(most) >= 4
