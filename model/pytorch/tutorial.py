"""Import of checkpoints of the char-RNN notebook of Udacity's PyTorch course ("the tutorial").

The tutorial saves `{"n_hidden", "n_layers", "state_dict", "tokens"}` as a pickle, with
`torch.save`, and calls the output layer `fc`. The file is read with `weights_only`, so no code in
it is executed, and its tensors are loaded onto the CPU.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint, check_shapes, check_weights
from model.checkpoints.network_config import NetworkConfig
from model.errors import CheckpointError, VocabularyError
from model.pytorch.network import arrays
from model.text.vocabulary import Vocabulary

_KEYS = ("n_hidden", "n_layers", "state_dict", "tokens")


def import_tutorial_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of the tutorial.

    Raises:
        CheckpointError: if the file is missing, is not such a checkpoint, or its parts do not
            match. The message says what is wrong.
    """
    content = _read(path)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise CheckpointError(f"{path}: not a tutorial checkpoint: it lacks {', '.join(missing)}")
    tensors = _tensors(content["state_dict"], path)
    try:
        vocabulary = Vocabulary(tuple(content["tokens"]))
        config = NetworkConfig(
            vocabulary_size=len(vocabulary),
            hidden_size=content["n_hidden"],
            layers=content["n_layers"],
            dropout=0.5,  # the tutorial's default; the file does not record it
        )
    except (TypeError, ValueError, VocabularyError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    # A small file can claim huge tensors, so they are copied after this check.
    check_shapes(config, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    weights = arrays(tensors)
    check_weights(config, weights, path)
    name = path.name.encode(errors="backslashreplace").decode()  # it may not be UTF-8
    return Checkpoint(config, vocabulary, weights, {"imported_from": name}, path.stem)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about the pickle version
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:  # torch's message advises an unsafe load
        raise CheckpointError(
            f"{path}: not a tutorial checkpoint, or it contains more than tensors and "
            "plain values; nothing in it was executed"
        ) from error
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read safely: {reason[:200]}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: not a tutorial checkpoint: it contains no dictionary")
    return content


def _tensors(state: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise CheckpointError(f"{path}: its state_dict does not map names to tensors")
    for name, tensor in state.items():
        is_dense = tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_nested)
        if not is_dense or tensor.is_quantized or not tensor.is_floating_point():
            layout = "nested" if tensor.is_nested else tensor.layout
            raise CheckpointError(
                f"{path}: {name} is not a dense floating-point tensor: "
                f"it is {tensor.dtype}, {layout}, on {tensor.device}"
            )
        if tensor.untyped_storage().nbytes() < tensor.nbytes:
            raise CheckpointError(f"{path}: {name} has less data than its shape needs")
    return {
        name.replace("fc.", "output.", 1) if name.startswith("fc.") else name: tensor
        for name, tensor in state.items()
    }
