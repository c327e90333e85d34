"""The arrays that C++ reads and writes: aligned copies, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.native.library import ALIGNMENT, aligned_copy, aligned_empty, checked_address

Array = npt.NDArray[Any]

INT64 = np.dtype(np.int64)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
dtypes = st.sampled_from([np.uint8, np.int8, np.int32, np.int64, np.float32, np.float64])


@given(shape=shapes, dtype=dtypes)
def test_an_aligned_array_passes_the_check(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    array = aligned_empty(shape, dtype)
    address = checked_address("x", array, np.dtype(dtype), shape, writable=True)
    assert address == array.ctypes.data
    assert address % ALIGNMENT == 0 or not array.size  # numpy ignores the place of nothing


@given(shape=shapes, dtype=dtypes, axes=st.randoms())
def test_a_copy_has_the_same_elements_in_c_order(
    shape: tuple[int, ...], dtype: npt.DTypeLike, axes: Any
) -> None:
    order = axes.sample(range(len(shape)), len(shape))
    original = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape).transpose(order)
    copy = aligned_copy(original)
    address = checked_address("x", copy, np.dtype(dtype), original.shape)
    assert address % ALIGNMENT == 0 or not copy.size
    np.testing.assert_array_equal(copy, original)


def test_a_read_only_array_may_be_read() -> None:
    array = np.zeros(3, np.int64)
    array.flags.writeable = False
    assert checked_address("x", array, INT64, (3,)) == array.ctypes.data


def read_only() -> Array:
    array = np.zeros((4, 3), np.int64)
    array.flags.writeable = False
    return array


def shifted(count: int) -> Array:
    """An array whose elements do not lie at a multiple of their size."""
    return aligned_empty((count * 8 + 1,), np.uint8)[1:].view(np.int64)


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (None, TypeError, "ids must be a numpy array of int64, got builtins.NoneType"),
        (torch.zeros(4, 3), TypeError, "ids must be a numpy array of int64, got torch.Tensor"),
        (np.zeros((4, 3), np.int32), TypeError, "ids must .* got an array of int32"),
        (np.zeros((4, 3), ">i8"), TypeError, "ids must .* got an array of >i8"),
        (np.zeros((3, 4), np.int64), ValueError, r"ids must have the shape \(4, 3\), got \(3, 4\)"),
        (np.zeros((3, 4), np.int64).T, ValueError, r"ids must be C-contiguous, got strides"),
        (np.zeros((4, 6), np.int64)[:, ::2], ValueError, "ids must be C-contiguous"),
        (read_only(), ValueError, "ids must be writable"),
        (shifted(12).reshape(4, 3), ValueError, "ids must be aligned to 8 bytes, got address 0x"),
    ],
)
def test_an_array_that_cpp_cannot_use_is_refused(
    array: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        checked_address("ids", array, INT64, (4, 3), writable=True)
