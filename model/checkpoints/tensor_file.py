"""TensorFile: reads a .safetensors file into memory, after checking its header completely.

`encode_tensor_file` makes the content of such a file.

A file is 8 bytes with the length of the header, the header in JSON, and the tensors' data. Nothing
is memory-mapped: if a mapped file is overwritten in place, its tensors change, or the process is
killed with SIGBUS.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from model.checkpoints.network_config import Array, Weights
from model.errors import CheckpointError

_MAX_HEADER_BYTES = 1 << 25  # a vocabulary with all of Unicode takes 24 MB
_STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


class TensorEntry(NamedTuple):
    """The entry of one tensor in the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # offset of its first byte in the data
    end: int  # offset after its last byte


class TensorFile:
    """An open .safetensors file. Make one with `open_tensor_file`.

    Attributes:
        metadata: the strings of the header's `__metadata__`.
        entries: the tensors by name, in the order of their data.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._before = os.fstat(file.fileno())
        header, self._data_bytes = self._read_header()
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
            raise self._damaged("its metadata does not consist of strings")
        self.metadata: Mapping[str, str] = metadata
        entries = [(name, self._entry(name, value)) for name, value in header.items()]
        self.entries = dict(sorted(entries, key=lambda item: item[1].begin))

    def read(self) -> dict[str, Array]:
        """Return the tensors in float32. Those in float16 and bfloat16 are converted, exactly.

        Compare the shapes of `entries` with the expected ones first. Memory is allocated only if
        the file has exactly the size that the shapes need.

        Raises:
            CheckpointError: if a tensor has another type, the entries do not fit the file's size,
                or the file changes while it is read.
            OSError: if the file cannot be read.
        """
        self._check_sizes()
        weights = {name: self._read_tensor(entry) for name, entry in self.entries.items()}
        after = os.fstat(self._file.fileno())
        if (after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise self._changed()
        return weights

    def _read_header(self) -> tuple[dict[str, Any], int]:
        size = self._before.st_size
        length = int.from_bytes(self._file.read(8), "little")
        if size < 8 or length > size - 8:
            raise self._damaged("it is a file of another kind, or truncated")
        if length > _MAX_HEADER_BYTES:
            raise self._damaged(f"its header has {length} bytes, more than {_MAX_HEADER_BYTES}")
        try:
            text = self._file.read(length).decode()
            header = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise self._damaged("its header is not valid JSON") from error
        if not isinstance(header, dict):
            raise self._damaged("its header is not a JSON object")
        return header, size - 8 - length

    def _entry(self, name: str, value: Any) -> TensorEntry:
        if isinstance(value, dict) and value.keys() == {"dtype", "shape", "data_offsets"}:
            dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
            if isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(offsets, count=2):
                return TensorEntry(dtype, tuple(shape), *offsets)
        raise self._damaged(f"the header's entry of tensor {name!r:.60} is not valid")

    def _check_sizes(self) -> None:
        """Check that the entries have known types and cover the data without gaps and overlaps."""
        position = 0
        for name, entry in self.entries.items():
            if entry.dtype not in _STORED:
                expected = ", ".join(_STORED)
                raise CheckpointError(
                    f"{self._path}: {name} is {entry.dtype!r:.40}, expected {expected}"
                )
            values = int(np.prod(entry.shape, dtype=object))
            expected_end = position + _STORED[entry.dtype].itemsize * values
            if (entry.begin, entry.end) != (position, expected_end):
                raise self._damaged(f"the data of {name} is not where its shape requires it")
            position = expected_end
        if position != self._data_bytes:
            raise self._damaged(
                f"it has {self._data_bytes} bytes of data, but its tensors need {position}"
            )

    def _read_tensor(self, entry: TensorEntry) -> Array:
        array: npt.NDArray[Any] = np.empty(entry.shape, _STORED[entry.dtype])
        if cast("Any", self._file).readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:
            raise self._changed()
        if entry.dtype == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        values: Array = array.astype(np.float32, copy=False)
        return values

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: not a readable .safetensors file: {reason}")

    def _changed(self) -> CheckpointError:
        return CheckpointError(
            f"{self._path}: the file changed while it was read; write a new file and rename it to "
            "this name"
        )


@contextmanager
def open_tensor_file(path: Path) -> Iterator[TensorFile]:
    """Open a .safetensors file and read its header.

    Raises:
        CheckpointError: if it is not a regular file, or its header is not valid.
        OSError: if it cannot be opened or read.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CheckpointError(f"{path}: not a regular file")
        yield TensorFile(file, path)


def encode_tensor_file(weights: Weights, metadata: Mapping[str, str], path: Path) -> bytes:
    """Return the content of a .safetensors file.

    Raises:
        CheckpointError: if its header is longer than `open_tensor_file` accepts. The message names
            the file.
    """
    content = safetensors.numpy.save(dict(weights), dict(metadata))
    length = int.from_bytes(content[:8], "little")
    if length > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: its metadata is too long: the header would have {length:,} bytes, "
            f"the limit is {_MAX_HEADER_BYTES:,}"
        )
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    # A FIFO without a writer does not block.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a JSON object has a key twice")
    return values


def _are_sizes(value: Any, count: int | None = None) -> bool:
    """Return whether a JSON value is a list of integers of at least 0, `count` of them if given."""
    return (
        isinstance(value, list)
        and count in (None, len(value))
        and all(type(x) is int and x >= 0 for x in value)
    )
