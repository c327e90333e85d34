"""Native library: ctypes bindings of the compiled kernels in model/native.

The library is optional. If it is not compiled, or no kernel runs on this processor, torch computes
the steps.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_void_p, sizeof
from typing import cast

PLAIN = "plain"  # name of the kernel in portable C++, the last of `kernels()`

_LAYOUT_VERSION = 2  # kLayoutVersion in model/native/lstm.h

logger = logging.getLogger("charstream")


class CProduct(Structure):
    """A matrix product with int8 weights. Mirrors Product in model/native/lstm.h."""

    _fields_ = [
        ("weights", c_void_p),
        ("offsets", c_void_p),
        ("scales", c_void_p),
        ("biases", c_void_p),
        ("tiles", c_int32),
    ]


class CNetwork(Structure):
    """The packed weights of a network. Mirrors Network in model/native/lstm.h."""

    _fields_ = [
        ("input_table", c_void_p),
        ("layers", POINTER(CProduct)),
        ("output", POINTER(CProduct)),
        ("depth", c_int32),
        ("width", c_int32),
        ("vocabulary_size", c_int32),
    ]


class CBatch(Structure):
    """The inputs and outputs of some steps. Mirrors Batch in model/native/lstm.h."""

    _fields_ = [
        ("hidden", c_void_p),
        ("cell", c_void_p),
        ("last_ids", c_void_p),
        ("forced_ids", c_void_p),
        ("uniforms", c_void_p),
        ("prompt_steps", c_void_p),
        ("inverse_temperatures", c_void_p),
        ("top_k", c_void_p),
        ("top_p", c_void_p),
        ("min_p", c_void_p),
        ("alternatives", c_void_p),
        ("ids", c_void_p),
        ("scores", c_void_p),
        ("slot_rows", c_int32),
        ("streams", c_int32),
        ("steps", c_int32),
        ("max_alternatives", c_int32),
    ]


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled library, or log the reason and return None if it is not available."""
    spec = importlib.util.find_spec("model._native")
    if spec is None or spec.origin is None:
        logger.info("the native kernel is not compiled; torch computes the steps")
        return None
    try:
        found = _declared(ctypes.CDLL(spec.origin))
    except (OSError, AttributeError) as error:
        logger.warning("the native kernel does not load; torch computes the steps: %s", error)
        return None
    layout = (c_int32 * 4)()
    found.charstream_layout(layout)
    if list(layout) != [_LAYOUT_VERSION, *map(sizeof, (CProduct, CNetwork, CBatch))]:
        logger.warning(
            "the native kernel was built from another version of the sources; torch computes the "
            "steps; install the package again to rebuild it"
        )
        return None
    return found


@functools.cache
def kernels() -> tuple[str, ...]:
    """Return the names of the kernels that run on this processor, fastest first."""
    found = library()
    return () if found is None else tuple(name for name in _names(found) if _runs(found, name))


class Team:
    """A team of threads that computes the steps of a network. The caller's thread is one of them.

    Args:
        kernel: one of `kernels()`.
        network: packed weights. Their memory must outlive the team.
        threads: number of threads, at least 1.

    Raises:
        ValueError: if the kernel does not run on this processor, or `threads` is below 1.
        MemoryError: if the system has no memory or no threads left.
    """

    def __init__(self, kernel: str, network: CNetwork, threads: int) -> None:
        if kernel not in kernels():  # this call also requests what a kernel needs (AMX tiles)
            raise ValueError(
                f"kernel {kernel!r} does not run on this processor; expected {', '.join(kernels())}"
            )
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._library, self._pid = cast("ctypes.CDLL", library()), os.getpid()
        index = _names(self._library).index(kernel)
        self._team: int | None = self._library.charstream_open(index, byref(network), threads)
        if not self._team:
            raise MemoryError(
                f"the native kernel could not start {threads} threads or allocate its memory"
            )

    def run(self, batch: CBatch) -> None:
        """Compute the steps of a batch. This releases the interpreter's lock."""
        self._library.charstream_run(self._handle(), byref(batch))

    def multiply(self, batch: CBatch) -> None:
        """Compute only the layers' matrix products: a lower bound for the time of `run`."""
        self._library.charstream_multiply(self._handle(), byref(batch))

    def _handle(self) -> int | None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "a forked process does not have the native kernel's threads; "
                "create the decoder after the fork"
            )
        return self._team

    def close(self) -> None:
        """End the threads. A second call does nothing."""
        team, self._team = self._team, None
        if team:
            self._library.charstream_close(team)


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    found.charstream_layout.argtypes, found.charstream_layout.restype = [POINTER(c_int32)], None
    found.charstream_name.argtypes, found.charstream_name.restype = [c_int], c_char_p
    found.charstream_available.argtypes = [c_int]
    found.charstream_open.argtypes = [c_int, POINTER(CNetwork), c_int]
    found.charstream_open.restype = c_void_p
    for step in (found.charstream_run, found.charstream_multiply):
        step.argtypes, step.restype = [c_void_p, POINTER(CBatch)], None
    found.charstream_close.argtypes, found.charstream_close.restype = [c_void_p], None
    return found


def _names(found: ctypes.CDLL) -> list[str]:
    names: list[str] = []
    while name := found.charstream_name(len(names)):
        names.append(name.decode())
    return names


def _runs(found: ctypes.CDLL, name: str) -> bool:
    return bool(found.charstream_available(_names(found).index(name)))
