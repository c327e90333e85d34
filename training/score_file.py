"""Score file: a file of results that a later run continues, wherever the last run was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from model.errors import OutputError
from training.run_lock import acquire

_BLOCK_BYTES = 1 << 20


class ScoreFile:
    """Rows of text in a file.

    The last complete row of an earlier run is written again: if it is not the same, that run had
    another model, text or option. Until then, the file stays as it is.

    Attributes:
        rows: number of complete rows before that row.
    """

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file, self._path = file, path
        count, last, end, offset = 0, 0, 0, 0  # the last row is between two offsets
        while block := file.read(_BLOCK_BYTES):
            if found := block.count(b"\n"):
                newline = block.rindex(b"\n")
                before = block.rfind(b"\n", 0, newline)
                last = end if before < 0 else offset + before + 1
                count, end = count + found, offset + newline + 1
            offset += len(block)
        self.rows = max(count - 1, 0)
        file.seek(last)
        self._last_row = file.read(end - last)

    def write(self, rows: str) -> None:
        """Append rows, each with its line end.

        Raises:
            OutputError: if the file cannot be written, or continues another result.
        """
        content = rows.encode()
        if not content.startswith(self._last_row):
            raise self._other_result()
        left = memoryview(content)[len(self._last_row) :]
        try:
            self._file.truncate()  # a row that was cut off
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._last_row = b""

    def close(self) -> None:
        """Check that the last row of the earlier run was written again.

        Raises:
            OutputError: if it was not.
        """
        if self._last_row:
            raise self._other_result()

    def _other_result(self) -> OutputError:
        return OutputError(
            f"{self._path}: row {self.rows + 1} is not what this model gives with this text and "
            "these options: use those that the file was written with, or another file"
        )


@contextmanager
def opened(path: Path, resume: bool) -> Iterator[ScoreFile]:
    """Create a file of results, or open it to continue it.

    Args:
        path: the file. It must not exist, unless it is continued.
        resume: whether to continue the file, if it exists.

    Raises:
        OutputError: if the file exists, cannot be written, or another process writes it.
    """
    if (exists := path.exists()) and not path.is_file():
        raise OutputError(f"{path} is not a regular file")
    if exists and not resume:
        raise OutputError(f"{path} exists: continue it with --resume, or delete it")
    try:
        file = path.open("r+b" if exists else "x+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    with file:
        if not acquire(file):
            raise OutputError(f"{path}: another process is writing it")
        results = ScoreFile(file, path)
        try:
            yield results
        except BaseException:
            if path.stat().st_size == 0:
                path.unlink()
            raise
        results.close()
