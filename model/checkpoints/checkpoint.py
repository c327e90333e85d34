"""Checkpoint: weights, vocabulary and training record in one .safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model.cells.catalogue import Catalogue, TrackedCell, catalogue_json
from model.checkpoints.about import ABOUT_KEYS, About
from model.checkpoints.atomic_file import replacing
from model.checkpoints.metadata import FORMAT_VERSION, escaped, read_metadata
from model.checkpoints.network_config import NetworkConfig, Weights
from model.checkpoints.tensor_file import encode_tensor_file, open_tensor_file
from model.checkpoints.weight_limit import MAX_SUM, greatest_sums
from model.errors import CheckpointError
from model.text.vocabulary import Vocabulary

_DESCRIPTIONS = ("cells", *ABOUT_KEYS)  # metadata keys
_MAX_LISTED = 8  # differences named in one message


@dataclass(frozen=True, eq=False)  # arrays cannot be compared with ==
class Checkpoint:
    """A model: the content of a checkpoint file."""

    config: NetworkConfig
    vocabulary: Vocabulary
    weights: Weights
    # The training record: corpus, split, losses, settings. Plain JSON values.
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""  # the file's name without extension; the folder's name for best.safetensors
    # The first 16 hex digits of a SHA-256 digest of the content without `cells` and `about`. Empty
    # if unsaved.
    hash: str = ""
    cells: Catalogue = ()  # that track each property best; empty if nobody has looked for them
    about: About = field(default_factory=About)


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
        **checkpoint.about.metadata,
    }
    if checkpoint.cells:
        metadata["cells"] = catalogue_json(checkpoint.cells)
    _write(metadata, weights, path)


def _training_json(training: Mapping[str, Any], path: Path) -> str:
    try:
        return json.dumps(training)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the training record is not JSON: {error}") from error


def save_cells(path: Path, cells: Sequence[TrackedCell], of: str | None = None) -> None:
    """Replace the catalogue of cells in a checkpoint file. The model and its hash do not change.

    All other metadata is kept as it is, also what this version does not know.

    Args:
        path: the file.
        cells: the catalogue.
        of: hash of the model whose cells they are. By default, that of the file.

    Raises:
        CheckpointError: if the file is not a valid checkpoint or holds another model, if a cell is
            not part of its network, or if the file cannot be written.
    """
    checkpoint, metadata = _load(path)
    if of not in (None, checkpoint.hash):
        raise CheckpointError(
            f"{path}: holds another model than at the start of the search for cells: search again"
        )
    metadata["cells"] = catalogue_json(cells)
    _write(metadata, checkpoint.weights, path)


def save_about(path: Path, about: About) -> None:
    """Replace the description in a checkpoint file. The model and its hash do not change.

    Raises:
        CheckpointError: if the file is not a valid checkpoint, if its vocabulary lacks a character
            of the prime, or if the file cannot be written.
    """
    checkpoint, metadata = _load(path)
    kept = {key: value for key, value in metadata.items() if key not in ABOUT_KEYS}
    _write({**kept, **about.metadata}, checkpoint.weights, path)


def _write(metadata: dict[str, str], weights: Weights, path: Path) -> None:
    """Write a file, after checking its metadata by the same rules as `load_checkpoint`."""
    metadata["digest"] = _digest(metadata, weights)
    read_metadata(metadata, path)
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
    try:
        with open_tensor_file(path) as file:
            config, vocabulary, training, cells, about = read_metadata(file.metadata, path)
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
    return (
        Checkpoint(config, vocabulary, weights, training, name, model_hash, cells, about),
        metadata,
    )


def name_of(path: Path) -> str:
    """Return the file name's stem, or the folder's name for the best checkpoint of a run."""
    return path.stem if path.stem != "best" else path.absolute().parent.name or path.stem


def check_shapes(config: NetworkConfig, found: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raise CheckpointError if the tensors in a file do not have the shapes of a config."""
    expected = config.shapes()
    differences = [f"{name} is missing" for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    differences += [f"{escaped(name)} is not part of the network" for name in extra]
    differences += [
        f"{name} is {list(found[name])!s:.80}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if differences:
        rest = len(differences) - _MAX_LISTED
        listing = "; ".join(differences[:_MAX_LISTED]) + (f"; {rest} more" if rest > 0 else "")
        raise CheckpointError(f"{path}: tensors differ from the config: {listing}")


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
    """Return the hash of a model. What only describes the model is left out."""
    model = {key: value for key, value in metadata.items() if key not in _DESCRIPTIONS}
    if len(model) < len(metadata):
        digest = _digest(model, weights)
    return digest[:16]
