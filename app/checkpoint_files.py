"""Checkpoint files: find the files that the setting CHARSTREAM_CHECKPOINT names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.errors import SettingsError
from app.settings import PREFIX
from model.checkpoints.checkpoint import name_of

_SETTING = f"{PREFIX}CHECKPOINT"


def checkpoint_files(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the checkpoint files by the names of their models, in order.

    Args:
        paths: files and folders. A folder stands for its .safetensors files, sorted by name,
            without hidden ones. A file that does not exist is not an error here.

    Raises:
        SettingsError: if a folder cannot be read or has no such files, or if two files would have
            the same name.
    """
    files: dict[str, Path] = {}
    for path in paths:
        # `Path.is_dir` raises an error if a parent folder may not be searched.
        for file in _files_in(path) if os.path.isdir(path) else [path]:
            name = name_of(file)
            if name in files:
                raise SettingsError(
                    f"{_SETTING}: {files[name]} and {file} would both be the model {name!r}; "
                    "rename one of them"
                )
            files[name] = file
    return files


def _files_in(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix == ".safetensors")
    except OSError as error:
        raise SettingsError(f"{_SETTING}: {folder} cannot be read: {error.strerror}") from error
    files = [file for file in found if not file.name.startswith(".")]
    if not files:
        raise SettingsError(f"{_SETTING}: the folder {folder} has no .safetensors files")
    yield from files
