"""The correlation of cells with properties and spans, for any division of the text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cells.correlation import CellCorrelation, Floats, check_varies, span_values, strongest
from model.errors import CorrelationError


def correlate(values_nC: npt.NDArray[np.floating], property_n: npt.NDArray[np.floating]) -> Floats:
    """The correlation of each cell with a property, (C,)."""
    correlation = CellCorrelation(values_nC.shape[1])
    correlation.add(values_nC, property_n[:, None])
    first: Floats = correlation.coefficients()[0]
    return first


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.data())
def test_it_is_pearsons_correlation_however_the_text_is_divided(
    characters: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    values_nC = np.tanh(random.normal(3, 1, (characters, 5))).astype(np.float32)
    properties_nP = random.normal(0, 1, (characters, 2)) + values_nC[:, :1]
    correlation = CellCorrelation(5, 2)
    cuts = sorted(data.draw(st.lists(st.integers(0, characters), max_size=6)))
    for begin, end in zip([0, *cuts], [*cuts, characters], strict=True):
        correlation.add(values_nC[begin:end], properties_nP[begin:end])
    expected = np.corrcoef(values_nC.T.astype(np.float64), properties_nP.T)[5:, :5]
    assert correlation.coefficients() == pytest.approx(expected, abs=1e-9)


def test_many_rows_are_added_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values_nC = np.random.default_rng(0).random((500, 4), np.float32)
    property_n = values_nC[:, 2].astype(np.float64)
    whole = correlate(values_nC, property_n)
    monkeypatch.setattr("model.cells.correlation._BLOCK_NUMBERS", 30)
    assert correlate(values_nC, property_n) == pytest.approx(whole, abs=1e-12)
    assert whole[2] == pytest.approx(1)


@settings(deadline=None)
@given(st.floats(-1, 1, width=32), st.integers(1, 40), st.integers(1, 40))
def test_a_cell_that_never_changes_has_exactly_zero(value: float, first: int, second: int) -> None:
    """Its mean, computed in floating point, may differ from its value."""
    correlation = CellCorrelation(1)
    for rows in (first, second):
        correlation.add(np.full((rows, 1), value, np.float32), np.arange(float(rows))[:, None])
    assert correlation.coefficients().tolist() == [[0.0]]


def test_a_tiny_change_far_from_zero_is_seen() -> None:
    """The textbook's sum of squares minus the square of the sum would lose it."""
    property_n = np.arange(20_000) % 2.0
    values_nC = (0.999 + 6e-8 * property_n).astype(np.float32)[:, None]
    assert len(np.unique(values_nC)) == 2
    assert correlate(values_nC, property_n)[0] == pytest.approx(1, abs=1e-9)


def test_a_property_that_does_not_vary_is_an_error() -> None:
    with pytest.raises(CorrelationError, match=r"digits does not vary in this text: it is 0 at"):
        check_varies(np.zeros(3), "digits")
    check_varies(np.array([0.0, 0.0, 1.0]), "digits")


def test_which_properties_vary_is_told() -> None:
    correlation = CellCorrelation(1, 2)
    correlation.add(np.zeros((3, 1)), np.array([[0.1, 0.1], [0.1, 0.2], [0.1, 0.1]]))
    assert correlation.varies.tolist() == [False, True]
    assert correlation.coefficients().tolist() == [[0.0], [0.0]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=5))
def test_spans_mark_their_characters(spans: list[tuple[int, int]]) -> None:
    if not all(begin < end for begin, end in spans):
        with pytest.raises(CorrelationError, match="use 0 <= from < to <= 20"):
            span_values(spans, 20)
        return
    inside = {position for span in spans for position in range(*span)}
    assert np.flatnonzero(span_values(spans, 20)).tolist() == sorted(inside)


@pytest.mark.parametrize("span", [(-1, 3), (0, 6), (5, 6), (2, 2)])
def test_spans_outside_the_text_are_refused(span: tuple[int, int]) -> None:
    with pytest.raises(CorrelationError, match="is not part of the text"):
        span_values([(0, 1), span], 5)


def test_the_strongest_cells_come_first() -> None:
    assert strongest(np.array([0.1, -0.9, 0.9, 0.5, 0.0]), 3).tolist() == [1, 2, 3]
    assert strongest(np.array([0.1]), 3).tolist() == [0]
