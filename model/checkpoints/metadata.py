"""Checkpoint metadata: reads and checks the texts that a checkpoint file has beside its tensors."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from model.cells.catalogue import Catalogue, parse_catalogue
from model.checkpoints.about import ABOUT_KEYS, About
from model.checkpoints.network_config import NetworkConfig
from model.errors import CheckpointError, VocabularyError
from model.text.vocabulary import Vocabulary

FORMAT_VERSION = "1"
_REQUIRED_KEYS = ("format_version", "config", "vocabulary")
_KNOWN_KEYS = (*_REQUIRED_KEYS, "training", "cells", *ABOUT_KEYS, "digest")
_MAX_NESTING = 16  # lists and objects inside each other in a metadata value


class Metadata(NamedTuple):
    """The metadata of a checkpoint."""

    config: NetworkConfig
    vocabulary: Vocabulary
    training: dict[str, Any]
    cells: Catalogue
    about: About


def read_metadata(metadata: Mapping[str, str], path: Path) -> Metadata:
    """Return the checked metadata of a checkpoint.

    Args:
        metadata: the metadata of a file.
        path: the file, for messages.

    Raises:
        CheckpointError: if the metadata is not that of a checkpoint of this version.
    """
    missing = [key for key in _REQUIRED_KEYS if key not in metadata]
    if missing:
        raise CheckpointError(
            f"{path}: not a charstream checkpoint: its metadata lacks {', '.join(missing)}"
        )
    unknown = [key for key in metadata if key not in _KNOWN_KEYS]
    if unknown and "digest" not in metadata:
        raise CheckpointError(
            f"{path}: unknown metadata key {unknown[0]!r:.60}; without a digest, expected only "
            f"{', '.join(_KNOWN_KEYS)}"
        )
    if (version := metadata["format_version"]) != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version is {version!r:.40}, but this program reads {FORMAT_VERSION!r}"
        )
    vocabulary = _read_vocabulary(metadata["vocabulary"], path)
    config = _read_config(metadata["config"], path)
    if config.vocabulary_size != len(vocabulary):
        raise CheckpointError(
            f"{path}: the vocabulary has {len(vocabulary)} characters, "
            f"the config says {config.vocabulary_size}"
        )
    training = _json(metadata.get("training", "{}"), "training", dict, path)
    loss = training.get("validation_loss")
    if loss is not None and (isinstance(loss, bool) or not isinstance(loss, int | float)):
        raise CheckpointError(f"{path}: validation_loss must be a number, got {loss!r:.40}")
    cells = _read_cells(metadata.get("cells", "[]"), config, path)
    return Metadata(config, vocabulary, training, cells, _read_about(metadata, vocabulary, path))


def _read_about(metadata: Mapping[str, str], vocabulary: Vocabulary, path: Path) -> About:
    try:
        about = About.of(metadata)
        if unknown := vocabulary.unknown_characters(about.prime):
            raise ValueError(f"prime: has {min(unknown)!a}, which the vocabulary lacks")
    except ValueError as error:
        raise CheckpointError(f"{path}: metadata key {error}") from error
    return about


def _read_cells(text: str, config: NetworkConfig, path: Path) -> Catalogue:
    try:
        items = _json(text, "cells", list, path)
        return parse_catalogue(items, config.layers, config.hidden_size)
    except ValueError as error:
        raise CheckpointError(f"{path}: metadata key 'cells': {error}") from error


def _read_vocabulary(text: str, path: Path) -> Vocabulary:
    try:
        return Vocabulary(_json(text, "vocabulary", list, path))
    except VocabularyError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_config(text: str, path: Path) -> NetworkConfig:
    values = _json(text, "config", dict, path)
    known = {f.name for f in fields(NetworkConfig)}
    if "vocabulary_size" not in values or not set(values) <= known:
        raise CheckpointError(
            f"{path}: the config must have vocabulary_size and may have "
            f"{', '.join(sorted(known - {'vocabulary_size'}))}; "
            f"it has {escaped(', '.join(sorted(values)), 200) or 'nothing'}"
        )
    try:
        return NetworkConfig(**values)
    except ValueError as error:
        raise CheckpointError(f"{path}: config: {error}") from error


def _json(text: str, key: str, kind: type, path: Path) -> Any:
    try:
        value = json.loads(text)
        # This raises an error for values that Python accepts but a response cannot contain: NaN,
        # infinity and lone surrogates.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: metadata key {key!r} is not JSON") from error
    if not isinstance(value, kind):
        raise CheckpointError(f"{path}: metadata key {key!r} is not a JSON {kind.__name__}")
    _check_limits(value, key, path)
    return value


def _check_limits(value: Any, key: str, path: Path) -> None:
    """Check the nesting and the numbers of a JSON value, which clients must be able to parse."""
    level = [value]
    for _ in range(_MAX_NESTING):
        lists = [list(x.values()) if isinstance(x, dict) else x for x in level]
        level = [x for items in lists if isinstance(items, list) for x in items]
        if any(isinstance(x, int) and abs(x) > sys.float_info.max for x in level):
            raise CheckpointError(
                f"{path}: metadata key {key!r} has a number beyond the range of a float"
            )
    if level:
        raise CheckpointError(
            f"{path}: metadata key {key!r} has more than {_MAX_NESTING} nested lists and objects"
        )


def escaped(name: str, length: int = 60) -> str:
    """Return the beginning of a name from a file, in ASCII, for a message."""
    return name[:length].encode("unicode_escape").decode()
