"""Native array: numpy arrays whose memory the C++ kernels read and write.

C++ gets an address and nothing else. So `checked_address` checks the type, the shape and the order
of an array that comes from a caller.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, c_char
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes: a cache line, and the widest vector that a kernel loads

Array = npt.NDArray[Any]

_from_buffer: Callable[[Any], c_char] = c_char.from_buffer


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return a C-contiguous array without initial values at a multiple of `ALIGNMENT` bytes."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(kind).reshape(shape)


def aligned_copy(array: Array) -> Array:
    """Return a C-contiguous copy of an array at a multiple of `ALIGNMENT` bytes."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def checked_address(
    name: str,
    array: Array,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    writable: bool = False,
) -> int:
    """Return the address of an array, after a check that C++ can use its memory.

    The address is valid as long as the array exists. A call costs about a microsecond, less than
    `array.ctypes.data` alone.

    Args:
        name: name of the array in error messages.
        array: the array.
        dtype: expected type of the elements, as an instance of `np.dtype`.
        shape: expected shape.
        writable: whether C++ writes into the array.

    Raises:
        TypeError: if `array` is not a numpy array or its elements have another type.
        ValueError: if the shape, the order of the elements, their alignment or the permission to
            write differs from what is expected.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{name} must be a numpy array of {dtype}, got {_type_of(array)}")
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
    flags = array.flags
    if not flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got strides {array.strides}")
    if flags.writeable and array.size:
        address = addressof(_from_buffer(array))  # numpy's own way takes twice as long
    elif writable and array.size:
        raise ValueError(f"{name} must be writable, but the array is read-only")
    else:
        address = int(array.ctypes.data)
    if address % dtype.alignment and array.size:
        expected = f"{dtype.alignment} bytes"
        raise ValueError(f"{name} must be aligned to {expected}, got address {address:#x}")
    return address


def _type_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
