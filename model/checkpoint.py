"""Checkpoint: weights, vocabulary and training record in one .safetensors file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from model.atomic_file import replacing
from model.cell_catalogue import Catalogue, TrackedCell, catalogue_json, parse_catalogue
from model.errors import CheckpointError, VocabularyError
from model.network_config import NetworkConfig, Weights
from model.tensor_file import encode_tensor_file, open_tensor_file
from model.vocabulary import Vocabulary
from model.weight_limit import MAX_SUM, greatest_sums

FORMAT_VERSION = "1"
_REQUIRED_KEYS = ("format_version", "config", "vocabulary")
_KNOWN_KEYS = (*_REQUIRED_KEYS, "training", "cells", "digest")
_MAX_NESTING = 16  # lists and objects inside each other in a metadata value
_MAX_LISTED = 8  # differences named in one message


@dataclass(frozen=True, eq=False)  # arrays cannot be compared with ==
class Checkpoint:
    """A model: the content of a checkpoint file.

    Attributes:
        config: sizes of the network.
        vocabulary: the characters, in the order of their ids.
        weights: float32 arrays by PyTorch parameter name, with the shapes of `config.shapes()`.
        training: the training record: corpus, split, losses, settings. Plain JSON values.
        name: the file name without its extension, or the folder's name for `best.safetensors`.
        hash: the first 16 hex digits of a SHA-256 digest of the content without `cells`. Empty
            until it is saved.
        cells: the cell that tracks each property best. Empty if nobody has looked for them.
    """

    config: NetworkConfig
    vocabulary: Vocabulary
    weights: Weights
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    hash: str = ""
    cells: Catalogue = ()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint atomically.

    Raises:
        CheckpointError: if `load_checkpoint` would refuse the file, because the weights do not fit
            the config or are not finite, or because the training record is not plain JSON; or if
            the file cannot be written.
    """
    check_weights(checkpoint.config, checkpoint.weights, path)
    weights = {name: np.ascontiguousarray(array) for name, array in checkpoint.weights.items()}
    metadata = {
        "format_version": FORMAT_VERSION,
        "config": json.dumps(asdict(checkpoint.config)),
        "vocabulary": json.dumps(checkpoint.vocabulary.characters),
        "training": _training_json(checkpoint.training, path),
    }
    if checkpoint.cells:
        metadata["cells"] = catalogue_json(checkpoint.cells)
    _write(metadata, weights, path)


def _training_json(training: Mapping[str, Any], path: Path) -> str:
    try:
        return json.dumps(training)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the training record is not JSON: {error}") from error


def save_cells(path: Path, cells: Sequence[TrackedCell]) -> None:
    """Replace the catalogue of cells in a checkpoint file. The model and its hash do not change.

    All other metadata is kept as it is, also what this version does not know.

    Raises:
        CheckpointError: if the file is not a valid checkpoint, if a cell is not part of its
            network, or if the file cannot be written.
    """
    checkpoint, metadata = _load(path)
    metadata["cells"] = catalogue_json(cells)
    _write(metadata, checkpoint.weights, path)


def _write(metadata: dict[str, str], weights: Weights, path: Path) -> None:
    """Write a file, after checking its metadata by the same rules as `load_checkpoint`."""
    metadata["digest"] = _digest(metadata, weights)
    _read_metadata(metadata, path)
    content = encode_tensor_file(weights, metadata, path)
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint. Nothing in it is executed or unpickled.

    The content is copied into memory, so the file may be replaced or overwritten afterwards. A file
    without a digest is accepted, because other programs may write one, but only with the metadata
    keys of this version: an unknown key could be the damaged key of the digest.

    Raises:
        CheckpointError: if the file is missing, is not a regular file, is damaged, was altered
            since it was written, changes while it is read, or differs from its own config.
    """
    return _load(Path(path))[0]


def _load(path: Path) -> tuple[Checkpoint, dict[str, str]]:
    """Return a checkpoint, and the metadata of its file."""
    try:
        with open_tensor_file(path) as file:
            config, vocabulary, training, cells = _read_metadata(file.metadata, path)
            found = {name: entry.shape for name, entry in file.entries.items()}
            check_shapes(config, found, path)
            weights = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error
    except ValueError as error:  # a null character in the path
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    check_weights(config, weights, path)
    metadata = dict(file.metadata)
    digest = _digest(metadata, weights)
    if metadata.get("digest", digest) != digest:
        raise CheckpointError(f"{path}: altered or damaged: its content does not match its digest")
    name, model_hash = name_of(path), _model_hash(metadata, weights, digest)
    return Checkpoint(config, vocabulary, weights, training, name, model_hash, cells), metadata


def name_of(path: Path) -> str:
    """Return the file name's stem, or the folder's name for the best checkpoint of a run."""
    return path.stem if path.stem != "best" else path.absolute().parent.name or path.stem


def _read_metadata(
    metadata: Mapping[str, str], path: Path
) -> tuple[NetworkConfig, Vocabulary, dict[str, Any], Catalogue]:
    missing = [key for key in _REQUIRED_KEYS if key not in metadata]
    if missing:
        raise CheckpointError(f"{path}: its metadata lacks {', '.join(missing)}")
    unknown = [key for key in metadata if key not in _KNOWN_KEYS]
    if unknown and "digest" not in metadata:
        raise CheckpointError(
            f"{path}: unknown metadata key {unknown[0]!r:.60}; without a digest, expected only "
            f"{', '.join(_KNOWN_KEYS)}"
        )
    version = metadata["format_version"]
    if version != FORMAT_VERSION:
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
    return config, vocabulary, training, cells


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
            f"it has {_escaped(', '.join(sorted(values)), 200) or 'nothing'}"
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
        level = [x for item in level if isinstance(item, list | dict) for x in _children(item)]
        if any(isinstance(x, int) and abs(x) > sys.float_info.max for x in level):
            raise CheckpointError(
                f"{path}: metadata key {key!r} has a number beyond the range of a float"
            )
    if level:
        raise CheckpointError(
            f"{path}: metadata key {key!r} has more than {_MAX_NESTING} nested lists and objects"
        )


def _children(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def check_shapes(config: NetworkConfig, found: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raise CheckpointError if the tensors in a file do not have the shapes of a config."""
    expected = config.shapes()
    differences = [f"{name} is missing" for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    differences += [f"{_escaped(name)} is not part of the network" for name in extra]
    differences += [
        f"{name} is {list(found[name])!s:.80}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if differences:
        rest = len(differences) - _MAX_LISTED
        listing = "; ".join(differences[:_MAX_LISTED]) + (f"; {rest} more" if rest > 0 else "")
        raise CheckpointError(f"{path}: tensors differ from the config: {listing}")


def _escaped(name: str, length: int = 60) -> str:
    """Return the beginning of a name from a file, in ASCII, for a message."""
    return name[:length].encode("unicode_escape").decode()


def check_weights(config: NetworkConfig, weights: Weights, path: Path) -> None:
    """Check that weights have the shapes of a config, are float32, finite and not too large.

    They are too large if the network could compute infinite values or NaN from them.

    Raises:
        CheckpointError: if the weights do not fit. The message names the file and the tensors.
    """
    check_shapes(config, {name: array.shape for name, array in weights.items()}, path)
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise CheckpointError(f"{path}: {name} is {array.dtype}, expected float32")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite")
    for outputs, greatest in greatest_sums(config, weights):
        if greatest > MAX_SUM:
            raise CheckpointError(
                f"{path}: the weights are too large: {outputs} may reach {greatest:.2g}, expected "
                f"at most {MAX_SUM:g}"
            )


def _digest(metadata: Mapping[str, str], weights: Weights) -> str:
    """Return the SHA-256 of all metadata except the digest, and of all tensors, sorted by name.

    It does not cover the file's bytes, because safetensors writes the metadata in any order.
    """
    digest = hashlib.sha256()
    for key in sorted(metadata):
        if key != "digest":
            digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def _model_hash(metadata: Mapping[str, str], weights: Weights, digest: str) -> str:
    """Return the hash of a model. The catalogue of cells describes the model and is left out."""
    if "cells" in metadata:
        model = {key: value for key, value in metadata.items() if key != "cells"}
        digest = _digest(model, weights)
    return digest[:16]
