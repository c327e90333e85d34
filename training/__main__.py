"""The command line: python -m training COMMAND. `--help` lists the commands."""

from __future__ import annotations

import codecs
import ctypes
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from training.interrupt import INTERRUPTED
from training.standard_error import print_error

_NEEDS_TORCH = (
    "charstream: training needs torch, which is not installed: run make setup, or in a clone of "
    "the repository: pip install '.[train]'"
)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
_AGAIN_SECONDS = 2.0  # long enough for a command to clean up


def main(arguments: Sequence[str] | None = None, began: float | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: arguments of the command line. None takes those of the process.
        began: time of `time.monotonic` at which the command began. None takes the current time.
    """
    began = time.monotonic() if began is None else began
    try:
        from training.command_line import run  # loads torch, which takes seconds
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print_error(_NEEDS_TORCH)
        return 1
    return run(arguments, began)


def _main() -> int:
    """Set up the process, run one command and return its exit status. Handles Ctrl-C."""
    began = time.monotonic()
    _reserve_output_streams()
    _wait_passively()
    _reuse_freed_memory()
    _print_any_character()
    # Until torch is loaded, end the process at once: an import could catch an exception.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # stays so
    if not ignored:
        signal.signal(signal.SIGINT, _end)
    try:
        with suppress(ModuleNotFoundError):  # `main` reports it
            import training.command_line  # noqa: F401  # loads torch

        if not ignored:
            signal.signal(signal.SIGINT, _interrupt)
        return main(began=began)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        for number in _signals():
            signal.signal(number, signal.SIG_IGN)  # the process ends in any case


def _end(*_: object) -> None:
    _say_interrupted()
    os._exit(INTERRUPTED)


def _interrupt(*_: object) -> None:
    """Say that the command is interrupted, and raise KeyboardInterrupt until the process ends.

    Once may not be enough: an exception can get lost in an import, or while Python disposes of an
    object.
    """
    _say_interrupted()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def _signals() -> list[signal.Signals]:
    names = ("SIGALRM", "SIGINT")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _say_interrupted() -> None:
    if os.environ.get("RANK", "0") == "0":  # only one of the processes that torchrun started
        with suppress(OSError):  # Ctrl-C also ends the reader of a pipe
            os.write(2, b"charstream: interrupted\n")  # works inside a signal handler too


def _reserve_output_streams() -> None:
    """Open the null device as standard output and standard error if they are closed.

    Otherwise a file of a run gets the number 2, and a message of a signal handler ends up in it.
    """
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed
            null = os.open(os.devnull, os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)


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


def _print_any_character() -> None:
    """Escape characters that the terminal's encoding lacks, instead of raising an error.

    In the locale C, Python's handler `surrogateescape` prints the bytes of a file's name as they
    are, so that the name can be pasted into a shell. They still are.
    """
    codecs.register_error("name_or_escape", _name_or_escape)
    handlers = {"strict": "backslashreplace", "surrogateescape": "name_or_escape"}
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in handlers:
        sys.stdout.reconfigure(errors=handlers[sys.stdout.errors])


def _name_or_escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        error.end = error.start + 1  # `surrogateescape` refuses a whole run for one character
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:  # not a part of a name
        return codecs.backslashreplace_errors(error)


if __name__ == "__main__":
    sys.exit(_main())
