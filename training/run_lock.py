"""Run lock: prevents two training runs from writing into the same folder.

The lock is an advisory lock of the operating system (flock). It is released when the process that
holds it ends, even if the process is killed. On systems without flock, such as Windows, there is no
lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from model.errors import TrainingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. The folder is created, and removed again if it stays empty.

    Raises:
        TrainingError: if another process holds the lock, or the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    path = folder / _NAME
    with _open(path) as file:
        _lock(file, path)
        try:
            yield
        finally:
            with suppress(OSError):  # the folder cannot be written any more
                path.unlink(missing_ok=True)
            with suppress(OSError):  # the folder holds a run
                folder.rmdir()


def _open(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise TrainingError(f"{path.parent}: cannot be written: {error.strerror}") from error


def _lock(file: IO[bytes], path: Path) -> None:
    if not acquire(file, path):
        raise TrainingError(
            f"{path.parent} is in use by another training run: "
            "wait until it ends, or choose another --out"
        )


def acquire(file: IO[bytes], path: Path) -> bool:
    """Take the lock of an open file until it is closed. False if another process has it."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    # The process that had it may have removed the file since it was opened.
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
