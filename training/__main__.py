"""The command line: python -m training COMMAND. `--help` lists the commands."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

from training.console import print_any_character, reserve_output_streams
from training.interrupt import INTERRUPTED, end_process, ignore_interrupts, raise_interrupt

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt


def start() -> int:
    """Set up the process, run one command and return its exit status. Handles Ctrl-C."""
    began = time.monotonic()
    reserve_output_streams()
    _wait_passively()
    _reuse_freed_memory()
    print_any_character()
    # Until torch is loaded, end the process at once: an import could catch an exception.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # stays so
    if not ignored:
        signal.signal(signal.SIGINT, end_process)
    try:
        from training.command_line import NEED_TORCH, run

        if sys.argv[1:2] and sys.argv[1] in NEED_TORCH:
            with suppress(ModuleNotFoundError):  # the command reports it
                import torch  # noqa: F401

        if not ignored:
            signal.signal(signal.SIGINT, raise_interrupt)
        return run(began=began)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        ignore_interrupts()  # the process ends in any case


def _wait_passively() -> None:
    """Let OpenMP's threads sleep soon while they wait, unless the environment says otherwise.

    By default they spin, which makes training about ten times slower if another process is busy.
    A thread that sleeps at once has to be woken for each small operation, so it first spins for
    some tens of microseconds. OpenMP reads the variables when torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ and "GOMP_SPINCOUNT" not in os.environ:
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="1000")


def _reuse_freed_memory() -> None:
    """Let glibc keep freed memory, up to a gigabyte, for the tensors of the next update.

    By default it returns arrays of megabytes to Linux, which clears each page again: up to a tenth
    of the time of an update.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest that glibc accepts
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


if __name__ == "__main__":
    sys.exit(start())
