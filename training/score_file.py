"""Score file: a file of results that a later run continues, wherever the last run was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from model.errors import OutputError
from training.run_lock import acquire

_BLOCK_BYTES = 1 << 20
_COMPARED_BYTES = 1 << 16  # at least, at the end of the file
_MAX_BYTES = 1 << 25  # of a row: 4 MiB of text take six times as much in JSON


class ScoreFile:
    """Rows of text in a file, which is only appended to.

    The rows of about the last 64 KiB of an earlier run are computed again and compared. So a run
    with another model, text or option is noticed.

    Attributes:
        rows: number of rows before those.
    """

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file, self._path = file, path
        self.rows, end = 0, b""
        while block := file.read(_BLOCK_BYTES):
            end += block
            start = end.rfind(b"\n", 0, max(len(end) - _COMPARED_BYTES, 0)) + 1
            self.rows += end.count(b"\n", 0, start)
            end = end[start:]
            if len(end) > _MAX_BYTES:
                raise self._other_result()
        self._compared = end  # its last row may be cut off

    def write(self, rows: str) -> None:
        """Append rows, each with its line end. Those that the file has are compared.

        Raises:
            OutputError: if the file cannot be written, or has other rows.
        """
        content = memoryview(rows.encode())
        common = min(len(content), len(self._compared))
        if content[:common] != self._compared[:common]:
            raise self._other_result()
        self._compared, content = self._compared[common:], content[common:]
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Check that all rows of the earlier run were compared.

        Raises:
            OutputError: if they were not.
        """
        if self._compared:
            raise self._other_result()

    def _other_result(self) -> OutputError:
        return OutputError(
            f"{self._path}: the rows after row {self.rows} are not those of this model, text, "
            "shard and options: use the same ones again, or another --out"
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
    try:
        if (exists := path.exists()) and not path.is_file():
            raise OutputError(f"{path} is not a regular file")
        if exists and not resume:
            raise OutputError(f"{path} exists: continue it with --resume, or delete it")
        file = path.open("r+b" if exists else "x+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    with file:
        if not acquire(file, path):
            raise OutputError(f"{path}: another process is writing it")
        results = ScoreFile(file, path)
        try:
            yield results
        except BaseException:
            if not exists and file.tell() == 0:
                path.unlink(missing_ok=True)
            raise
        results.close()
