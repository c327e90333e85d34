"""Native: the compiled kernels, as ctypes sees them. The C++ side is in model/native.

Nothing here is needed: where they have not been compiled, or the processor is another, torch
steps the streams.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_void_p, sizeof
from typing import cast

PLAIN = "plain"  # the last of the kernels, which runs anywhere

_LAYOUT = 2  # kLayout of model/native/lstm.h

logger = logging.getLogger("charstream")


class CProduct(Structure):
    """Mirrors model/native/lstm.h."""

    _fields_ = [
        ("weights", c_void_p),
        ("offsets", c_void_p),
        ("scales", c_void_p),
        ("biases", c_void_p),
        ("tiles", c_int32),
    ]


class CNetwork(Structure):
    """Mirrors model/native/lstm.h."""

    _fields_ = [
        ("table", c_void_p),
        ("layers", POINTER(CProduct)),
        ("output", POINTER(CProduct)),
        ("depth", c_int32),
        ("width", c_int32),
        ("characters", c_int32),
    ]


class CBatch(Structure):
    """Mirrors model/native/lstm.h."""

    _fields_ = [
        ("hidden", c_void_p),
        ("cell", c_void_p),
        ("last_ids", c_void_p),
        ("forced", c_void_p),
        ("uniforms", c_void_p),
        ("first_steps", c_void_p),
        ("scales", c_void_p),
        ("top_k", c_void_p),
        ("top_p", c_void_p),
        ("min_p", c_void_p),
        ("alternatives", c_void_p),
        ("ids", c_void_p),
        ("scores", c_void_p),
        ("rows", c_int32),
        ("streams", c_int32),
        ("steps", c_int32),
        ("most_alternatives", c_int32),
    ]


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None, said in one log line, where there are none to be had."""
    spec = importlib.util.find_spec("model._native")
    if spec is None or spec.origin is None:
        logger.info("the native kernel has not been compiled here: torch steps the streams")
        return None
    try:
        found = _declared(ctypes.CDLL(spec.origin))
    except (OSError, AttributeError) as error:
        logger.warning("the native kernel does not load, so torch steps the streams: %s", error)
        return None
    layout = (c_int32 * 4)()
    found.charstream_layout(layout)
    if list(layout) != [_LAYOUT, *(sizeof(kind) for kind in (CProduct, CNetwork, CBatch))]:
        logger.warning(
            "the native kernel is of another version, so torch steps the streams; install again"
        )
        return None
    return found


@functools.cache
def kernels() -> tuple[str, ...]:
    """Names of the kernels that run on this processor, the fastest first."""
    found = library()
    return () if found is None else tuple(name for name in _names(found) if _runs(found, name))


class Team:
    """Threads that step the streams of a network, the caller's one of them.

    Args:
        kernel: one of `kernels()`.
        network: its memory has to outlive the team.
        threads: at least 1.

    Raises:
        ValueError: if the kernel does not run on this processor, or there are no threads.
        MemoryError: if there is no room for it, or no thread to be had.
    """

    def __init__(self, kernel: str, network: CNetwork, threads: int) -> None:
        if kernel not in kernels():  # which also asks the system for what a kernel needs
            raise ValueError(f"kernel {kernel!r} does not run here, only {', '.join(kernels())}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._library, self._pid = cast("ctypes.CDLL", library()), os.getpid()
        index = _names(self._library).index(kernel)
        self._team: int | None = self._library.charstream_open(index, byref(network), threads)
        if not self._team:
            raise MemoryError(f"no memory or no threads for the native kernel ({threads} threads)")

    def run(self, batch: CBatch) -> None:
        """All of the batch's steps, without the interpreter's lock."""
        self._library.charstream_run(self._here(), byref(batch))

    def multiply(self, batch: CBatch) -> None:
        """The layers' products alone, of so many steps: the time that `run` needs at least."""
        self._library.charstream_multiply(self._here(), byref(batch))

    def _here(self) -> int | None:
        if os.getpid() != self._pid:
            raise RuntimeError("a forked process has none of the native kernel's threads")
        return self._team

    def close(self) -> None:
        """Ends the threads."""
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
