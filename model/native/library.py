"""Native library: ctypes bindings of the compiled kernels, and the memory that they read and write.

C++ gets addresses and nothing else. So `checked_address` checks the type, the shape and the order
of an array that comes from a caller.

The library is optional. If it is not compiled, or no kernel runs on this processor, torch computes
the steps.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
from collections.abc import Callable
from ctypes import (
    POINTER,
    Structure,
    addressof,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_void_p,
    sizeof,
)
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.choice.held_cell import MAX_HELD_CELLS

PLAIN = "plain"  # name of the kernel in portable C++, the last of `kernels()`

ALIGNMENT = 64  # bytes: a cache line, and the widest vector that a kernel loads

Array = npt.NDArray[Any]

_from_buffer: Callable[[Any], c_char] = c_char.from_buffer

logger = logging.getLogger("charstream")


def fields(kind: type[Any], *names: str) -> list[tuple[str, type[Any]]]:
    """Return consecutive fields of a C structure that have the same type."""
    return [(name, kind) for name in names]


class CProduct(Structure):
    """A matrix product with int8 weights. Mirrors Product in model/native/lstm.h."""

    _fields_ = [
        *fields(c_void_p, "weights", "offsets", "scales", "biases"),
        ("tiles", c_int32),
    ]


class CNetwork(Structure):
    """The packed weights of a network. Mirrors Network in model/native/lstm.h."""

    _fields_ = [
        ("input_table", c_void_p),
        *fields(POINTER(CProduct), "layers", "output"),
        *fields(c_int32, "depth", "width", "vocabulary_size"),
    ]


class CBatch(Structure):
    """The inputs and outputs of some steps. Mirrors Batch in model/native/lstm.h."""

    _fields_ = [
        *fields(c_void_p, "hidden", "cell", "last_ids", "forced_ids", "uniforms", "prompt_steps"),
        *fields(c_void_p, "inverse_temperatures", "top_k", "top_p", "min_p", "alternatives"),
        *fields(c_void_p, "hold_counts", "hold_cells", "hold_values"),
        *fields(c_void_p, "constraints", "pattern_states", "lengths"),
        *fields(c_void_p, "read_offsets", "read_cells", "read_states", "memories"),
        *fields(c_void_p, "ids", "scores"),
        *fields(c_int32, "slot_rows", "streams", "steps", "max_alternatives"),
    ]


class Layout(NamedTuple):
    """The constants of the memory that Python and C++ share, in the order of team.cpp."""

    version: int = 8  # raised with every change of a function, a structure or its meaning
    product_bytes: int = sizeof(CProduct)
    network_bytes: int = sizeof(CNetwork)
    batch_bytes: int = sizeof(CBatch)
    lanes: int = 16  # floats in one vector of the layout
    group: int = 4  # inputs that one dot-product instruction multiplies and adds
    tile: int = 64  # outputs that a kernel computes together; in a layer, 4 gates of `lanes` units
    block: int = 16  # slot rows that a kernel may read together, even if some have no stream
    alignment: int = 64  # of weights, offsets, scales, biases and the input table, in bytes
    most_weight: int = 63  # largest absolute value of a weight's code
    zero_code: int = 128  # code of the hidden value 0
    hidden_steps: int = 127  # steps of a hidden value's code between 0 and 1
    most_holds: int = MAX_HELD_CELLS  # cells that a stream can hold


LAYOUT = Layout()


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled library, or log the reason and return None if it is not available."""
    spec = importlib.util.find_spec("model._native")
    if spec is None or spec.origin is None:
        logger.info("the native kernel is not compiled; the steps need torch")
        return None
    try:
        found = ctypes.CDLL(spec.origin)
    except OSError as error:
        logger.warning("the native kernel does not load; the steps need torch: %s", error)
        return None
    difference = _difference(found)
    if difference is not None:
        logger.warning(
            "the native kernel was built from another version of the sources (%s); install the "
            "package again to rebuild it",
            difference,
        )
        return None
    return found


@functools.cache
def kernels() -> tuple[str, ...]:
    """Return the names of the kernels that run on this processor, fastest first."""
    found = library()
    if found is None:
        return ()
    names = kernel_names(found)
    return tuple(name for number, name in enumerate(names) if found.charstream_available(number))


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
    name: str, array: Array, dtype: np.dtype[Any], shape: tuple[int, ...], writable: bool = False
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
    if writable and array.size and not flags.writeable:
        raise ValueError(f"{name} must be writable, but the array is read-only")
    if flags.writeable and array.size:
        address = addressof(_from_buffer(array))  # numpy's own way takes twice as long
    else:
        address = int(array.ctypes.data)
    if address % dtype.alignment and array.size:
        raise ValueError(
            f"{name} must be aligned to {dtype.alignment} bytes, got address {address:#x}"
        )
    return address


def _type_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _difference(found: ctypes.CDLL) -> str | None:
    """Declare the functions of the library, and return how it differs from this module, if so."""
    try:
        _declare(found)
    except AttributeError as error:  # a function that older sources do not have
        return str(error)
    constants = (c_int32 * len(LAYOUT))()
    found.charstream_constants(constants, len(constants))
    for name, expected, value in zip(Layout._fields, LAYOUT, constants, strict=True):
        if value != expected:
            return f"{name} is {value}, expected {expected}"
    return None


def _declare(found: ctypes.CDLL) -> None:
    found.charstream_constants.argtypes = [POINTER(c_int32), c_int]
    found.charstream_constants.restype = None
    found.charstream_name.argtypes, found.charstream_name.restype = [c_int], c_char_p
    found.charstream_available.argtypes = [c_int]
    found.charstream_open.argtypes = [c_int, POINTER(CNetwork), c_int]
    found.charstream_open.restype = c_void_p
    found.charstream_run.argtypes = [c_void_p, POINTER(CBatch), c_int, c_int64]
    found.charstream_run.restype = c_int
    found.charstream_multiply.argtypes = [c_void_p, POINTER(CBatch)]
    found.charstream_multiply.restype = None
    found.charstream_memory_bytes.argtypes = [c_int]
    found.charstream_memory_bytes.restype = c_int64
    found.charstream_mix.argtypes = [c_void_p, c_int64, c_void_p, c_int, c_void_p]
    found.charstream_mix.restype = None
    found.charstream_close.argtypes, found.charstream_close.restype = [c_void_p], None


def kernel_names(found: ctypes.CDLL) -> list[str]:
    """Return the names of all compiled kernels, also of those that do not run here."""
    names: list[str] = []
    while name := found.charstream_name(len(names)):
        names.append(name.decode())
    return names
