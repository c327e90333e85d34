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
import threading
import time
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_int64, c_void_p, sizeof
from typing import NamedTuple, cast

from model.choice.held_cell import MAX_HELD_CELLS
from model.native.team_size import TeamSize

PLAIN = "plain"  # name of the kernel in portable C++, the last of `kernels()`

# Nanoseconds on the account of a team's patience (model/native/patience.h): long enough that the
# event loop of a busy server, which uses a core for moments, does not end it.
PATIENCE = 200_000_000

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
        ("hold_counts", c_void_p),
        ("hold_cells", c_void_p),
        ("hold_values", c_void_p),
        ("constraints", c_void_p),
        ("pattern_states", c_void_p),
        ("lengths", c_void_p),
        ("read_offsets", c_void_p),
        ("read_cells", c_void_p),
        ("read_states", c_void_p),
        ("ids", c_void_p),
        ("scores", c_void_p),
        ("slot_rows", c_int32),
        ("streams", c_int32),
        ("steps", c_int32),
        ("max_alternatives", c_int32),
    ]


class Layout(NamedTuple):
    """The constants of the memory that Python and C++ share, in the order of native.cpp."""

    version: int  # raised with every change of a function, a structure or its meaning
    product_bytes: int
    network_bytes: int
    batch_bytes: int
    lanes: int  # floats in one vector of the layout
    group: int  # inputs that one dot-product instruction multiplies and adds
    tile: int  # outputs that a kernel computes together; in a layer, 4 gates of `lanes` units
    block: int  # slot rows that a kernel may read together, even if some have no stream
    alignment: int  # of weights, offsets, scales, biases and the input table, in bytes
    most_weight: int  # largest absolute value of a weight's code
    zero_code: int  # code of the hidden value 0
    hidden_steps: int  # steps of a hidden value's code between 0 and 1
    most_holds: int  # cells that a stream can hold


LAYOUT = Layout(
    version=7,
    product_bytes=sizeof(CProduct),
    network_bytes=sizeof(CNetwork),
    batch_bytes=sizeof(CBatch),
    lanes=16,
    group=4,
    tile=64,
    block=16,
    alignment=64,
    most_weight=63,
    zero_code=128,
    hidden_steps=127,
    most_holds=MAX_HELD_CELLS,
)


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
    return () if found is None else tuple(name for name in _names(found) if _runs(found, name))


class Team:
    """A team of threads that computes the steps of a network. The caller's thread is one of them.

    One call computes at a time: a call during another one raises RuntimeError, as does a call after
    `close` or in a forked process.

    Args:
        kernel: one of `kernels()`.
        network: packed weights. Their memory must outlive the team.
        threads: number of threads, at least 1. Fewer compute while others keep the cores busy.

    Raises:
        ValueError: if the kernel does not run on this processor, or `threads` is below 1.
        MemoryError: if the system has no memory or no threads left.

    Attributes:
        threads: number of threads.
        limit: how many of them may compute, at least 1. The others sleep.
    """

    def __init__(self, kernel: str, network: CNetwork, threads: int) -> None:
        if kernel not in kernels():  # this call also requests what a kernel needs (AMX tiles)
            raise ValueError(
                f"kernel {kernel!r} does not run on this processor; expected {', '.join(kernels())}"
            )
        self._library, self._pid = cast("ctypes.CDLL", library()), os.getpid()
        self._kernel, self._network = _names(self._library).index(kernel), network
        self._busy = threading.Lock()
        self._team: int | None = self._open(threads)
        self.threads = self.limit = threads
        self._size = TeamSize(threads)

    def resize(self, threads: int) -> None:
        """Change the number of threads. Raises what the constructor raises.

        If it fails, the team has the same number of threads as before.
        """
        self._take()
        try:
            new = self._open(threads)
            self._library.charstream_close(self._team)
            self._team, self._size = new, TeamSize(threads)
            self.threads = self.limit = threads
        finally:
            self._busy.release()

    def run(self, batch: CBatch) -> None:
        """Compute the steps of a batch. This releases the interpreter's lock."""
        self._call(self._run, batch)

    def multiply(self, batch: CBatch) -> None:
        """Compute only the layers' matrix products: a lower bound for the time of `run`."""
        self._call(self._library.charstream_multiply, batch)

    def close(self) -> None:
        """End the threads. A second call does nothing, and neither does one in a forked process."""
        if os.getpid() != self._pid or not self._team:
            return  # a forked process has no such threads, and would wait for their end for ever
        self._take()
        self._library.charstream_close(self._team)
        self._team = None
        self._busy.release()

    def _open(self, threads: int) -> int:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        team = self._library.charstream_open(self._kernel, byref(self._network), threads)
        if not team:
            raise MemoryError(
                f"the native kernel could not start {threads} threads or allocate its memory"
            )
        return int(team)

    def _run(self, team: int | None, batch: object) -> None:
        chosen = self._size.choose(time.monotonic())
        threads = min(chosen, self.limit)
        left = self._library.charstream_run(team, batch, threads, PATIENCE)
        if left < threads or threads == chosen:  # the limit is not a sign of other processes
            self._size.record(time.monotonic(), left)

    def _call(self, function: Callable[[int | None, object], None], batch: CBatch) -> None:
        self._take()
        try:
            function(self._team, byref(batch))
        finally:
            self._busy.release()

    def _take(self) -> None:
        """Keep other threads out until `_busy` is released, if the team can compute."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "a forked process does not have the native kernel's threads; "
                "create the decoder after the fork"
            )
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "the native kernel is computing a step in another thread; "
                "use a decoder from one thread at a time"
            )
        if not self._team:
            self._busy.release()
            raise RuntimeError("the native kernel's threads have ended; create a new decoder")


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
    found.charstream_close.argtypes, found.charstream_close.restype = [c_void_p], None


def _names(found: ctypes.CDLL) -> list[str]:
    names: list[str] = []
    while name := found.charstream_name(len(names)):
        names.append(name.decode())
    return names


def _runs(found: ctypes.CDLL, name: str) -> bool:
    return bool(found.charstream_available(_names(found).index(name)))
