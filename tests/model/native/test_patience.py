"""Patience: the caller of a team gives up after a series of long waits, not after a single one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.native.team import PATIENCE

_SOURCE = Path(__file__).with_name("patience.cpp")
_MIN_WAIT, _MAX_WAIT = 20_000, 6_000_000  # nanoseconds, as in model/native/barrier.h

Waits = list[tuple[int, int]]  # nanoseconds of computing, then of waiting
Until = Callable[[Waits], int]

times = st.integers(0, 10**9)


@pytest.fixture(scope="module")
def until_over(tmp_path_factory: pytest.TempPathFactory) -> Until:
    """Return a function that tells after how many waits the patience is over, or -1."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("patience") / "patience.so"
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(_SOURCE), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).waits_until_over

    def call(waits: Waits) -> int:
        array = ctypes.c_int64 * len(waits)
        computed, waited = array(*(pair[0] for pair in waits)), array(*(pair[1] for pair in waits))
        return int(function(computed, waited, len(waits), ctypes.c_int64(PATIENCE)))

    return call


@given(waits=st.lists(times, max_size=100), extra=times)
def test_it_lasts_if_the_caller_computes_half_as_long_as_it_waits(
    until_over: Until, waits: list[int], extra: int
) -> None:
    assert until_over([(min(wait, _MAX_WAIT) // 2 + 1 + extra, wait) for wait in waits]) == -1


@given(waits=st.lists(st.tuples(times, st.integers(0, _MIN_WAIT - 1)), max_size=100))
def test_short_waits_do_not_count(until_over: Until, waits: Waits) -> None:
    assert until_over(waits) == -1


@given(wait=st.integers(_MIN_WAIT, _MAX_WAIT), part=st.floats(0, 0.25))
def test_it_ends_soon_if_the_caller_mostly_waits(until_over: Until, wait: int, part: float) -> None:
    """It ends when half of the waits exceeds the computing by the patience, not before."""
    computed = int(part * wait)
    excess = PATIENCE / (wait // 2 - computed)  # whole nanoseconds, as in C++
    ended = until_over([(computed, wait)] * (4 * PATIENCE // wait + 10))
    assert excess - 3 <= ended <= excess + 3


@given(before=st.lists(st.tuples(times, times), max_size=20), wait=times)
def test_a_single_wait_after_computing_never_ends_it(
    until_over: Until, before: Waits, wait: int
) -> None:
    """However many waits came before: the account is full again after as much computing."""
    spent = [(computed + 2 * PATIENCE, waited) for computed, waited in before]
    assert until_over([*spent, (2 * PATIENCE, wait)]) == -1
