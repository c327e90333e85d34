"""Atomic file writes: a reader sees either the old content or the new, never a part of it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".part"  # ends the name of a temporary file, which begins with a dot
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP)  # of fsync, on file systems without it for folders


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    If an exception is raised (a full disk, or a signal handler that raises), `path` keeps its old
    content and the temporary file is removed. If the process is killed, the temporary file stays.
    A file that is replaced keeps its permissions, and a symbolic link to it stays.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # there is no such file yet, or its owner is somebody else
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    handle = os.open(path.parent, os.O_RDONLY)  # the folder, to keep the new entry
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)
