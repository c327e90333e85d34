"""Checkpoint: weights, vocabulary and training record in one .safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.atomic_file import replacing
from model.errors import CheckpointError, VocabularyError
from model.network import CharLSTM, NetworkConfig
from model.vocabulary import Vocabulary

FORMAT_VERSION = "1"
_REQUIRED_KEYS = ("format_version", "config", "vocabulary")


@dataclass(frozen=True)
class Checkpoint:
    """A model as it lies on disk.

    Attributes:
        weights: torch's names to float32 tensors on the CPU, shaped as `config.shapes()`.
        training: how the weights came about: corpus, split, losses, settings; plain JSON.
        name: the file's name without its ending.
        hash: the first 16 hex digits of a SHA-256 over all that the file holds; empty before it
            is saved.
    """

    config: NetworkConfig
    vocabulary: Vocabulary
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    hash: str = ""

    def network(self) -> CharLSTM:
        """The network with these weights, in evaluation mode, on the CPU."""
        network = CharLSTM(self.config)
        network.load_state_dict(dict(self.weights))
        return network.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a checkpoint atomically.

    Raises:
        CheckpointError: if the weights do not fit the config or are not finite, or the file
            cannot be written.
    """
    weights = {name: tensor.detach().cpu().float() for name, tensor in checkpoint.weights.items()}
    weights = {name: tensor.contiguous().clone() for name, tensor in weights.items()}
    check_weights(checkpoint.config, weights, path)
    metadata = {
        "format_version": FORMAT_VERSION,
        "config": json.dumps(checkpoint.config.as_dict()),
        "vocabulary": json.dumps(checkpoint.vocabulary.characters),
        "training": json.dumps(checkpoint.training),
    }
    metadata["digest"] = _digest(metadata, weights)
    try:
        with replacing(path) as file:
            file.write(safetensors.torch.save(weights, metadata))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks a checkpoint. Nothing in it is executed or unpickled.

    Raises:
        CheckpointError: if the file is missing, damaged, altered since it was written, or
            differs from its own config; the message names what differs.
    """
    path = Path(path)
    try:
        path.open("rb").close()  # safetensors calls every failure to open a missing file
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            config, vocabulary, training = _read_metadata(metadata, path)
            names = list(file.keys())
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _check_shapes(config, found, path)
            weights = {name: file.get_tensor(name) for name in names}
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable .safetensors file: {error}") from error
    check_weights(config, weights, path)
    digest = _digest(metadata, weights)
    if metadata.get("digest", digest) != digest:
        raise CheckpointError(f"{path}: altered or damaged: its content does not match its digest")
    return Checkpoint(config, vocabulary, weights, training, _name_of(path), digest[:16])


def _name_of(path: Path) -> str:
    """The file's, but of a run's best checkpoint the folder's."""
    return path.stem if path.stem != "best" else path.absolute().parent.name or path.stem


def _read_metadata(
    metadata: Mapping[str, str], path: Path
) -> tuple[NetworkConfig, Vocabulary, dict[str, Any]]:
    missing = [key for key in _REQUIRED_KEYS if key not in metadata]
    if missing:
        raise CheckpointError(f"{path}: its metadata lacks {', '.join(missing)}")
    version = metadata["format_version"]
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version is {version!r:.40}, this program reads {FORMAT_VERSION!r}"
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
    return config, vocabulary, training


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
            f"{path}: the config must hold vocabulary_size and may hold "
            f"{', '.join(sorted(known - {'vocabulary_size'}))}; "
            f"it holds {', '.join(sorted(values))[:200] or 'nothing'}"
        )
    try:
        return NetworkConfig(**values)
    except ValueError as error:
        raise CheckpointError(f"{path}: config: {error}") from error


def _json(text: str, key: str, kind: type, path: Path) -> Any:
    try:
        value = json.loads(text)
        # Fails for what Python reads and no answer can carry: NaN, infinity, lone surrogates.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: metadata key {key!r} is not JSON") from error
    if not isinstance(value, kind):
        raise CheckpointError(f"{path}: metadata key {key!r} is not a JSON {kind.__name__}")
    return value


def _check_shapes(config: NetworkConfig, found: Mapping[str, tuple[int, ...]], path: Path) -> None:
    expected = config.shapes()
    differences = [f"{name} is missing" for name in expected if name not in found]
    differences += [f"{name} is not part of the network" for name in found if name not in expected]
    differences += [
        f"{name} is {list(found[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if differences:
        raise CheckpointError(f"{path}: tensors differ from the config: {'; '.join(differences)}")


def check_weights(config: NetworkConfig, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises CheckpointError, naming the file, unless the weights are those of such a network."""
    _check_shapes(config, {name: tuple(tensor.shape) for name, tensor in weights.items()}, path)
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32:
            raise CheckpointError(f"{path}: {name} is {tensor.dtype}, expected torch.float32")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds values that are not finite")


def _digest(metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over every other metadata value, and every tensor, in order of their names.

    Not over the file's bytes: safetensors writes metadata in an order that changes.
    """
    digest = hashlib.sha256()
    for key in sorted(metadata):
        if key != "digest":
            digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].numpy().data)
    return digest.hexdigest()
