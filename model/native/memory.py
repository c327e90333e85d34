"""Memory: what a stream has read, in the layout of `model/native/memory.cpp`, which computes it.

A memory is an array of bytes. It starts with zeros, and each character that the stream reads
changes it. Its size does not depend on how much was read.

Shape letters: V vocabulary.
"""

from __future__ import annotations

import ctypes
import functools
from typing import cast

import numpy as np
import numpy.typing as npt

from model.errors import DeviceError
from model.native.library import ALIGNMENT, checked_address, library

NO_MEMORY = (
    "a memory is not available: it needs a CPU, the compiled native library, and a vocabulary of "
    "at most 65,536 characters"
)

Memory = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


@functools.cache
def memory_bytes(vocabulary_size: int) -> int:
    """Return the size of a memory.

    It is 0 if there is none: without the compiled library, or for more than 65,536 characters.
    """
    found = library()
    return 0 if found is None else int(found.charstream_memory_bytes(vocabulary_size))


def new_memory(vocabulary_size: int) -> Memory:
    """Return an empty memory. The system provides each page of it when it is first used.

    Raises:
        DeviceError: if there is none.
    """
    size = memory_bytes(vocabulary_size)
    if not size:
        raise DeviceError(NO_MEMORY)
    zeros = np.zeros(size + ALIGNMENT, np.uint8)
    first = -zeros.ctypes.data % ALIGNMENT
    return zeros[first : first + size]


def mix(memory: Memory, character: int, logits_V: Logits) -> Logits:
    """Read a character, and return the logits of the mixture for the character that follows."""
    size = len(logits_V)
    mixed_V = np.empty(size, np.float32)
    cast("ctypes.CDLL", library()).charstream_mix(
        checked_address("memory", memory, memory.dtype, (memory_bytes(size),), writable=True),
        character,
        checked_address("logits", logits_V, mixed_V.dtype, (size,)),
        size,
        mixed_V.ctypes.data,
    )
    return mixed_V
