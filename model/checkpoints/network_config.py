"""NetworkConfig: the sizes of a CharLSTM, and the names and shapes of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Weights = Mapping[str, Array]  # by PyTorch parameter name, with the shapes of `shapes()`


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a CharLSTM, and its dropout in training.

    Raises:
        ValueError: if a value is out of range.
    """

    vocabulary_size: int  # V, 2 to 1,114,112 (the number of Unicode code points)
    hidden_size: int = 512  # H, 1 to 65,536
    layers: int = 2  # L, 1 to 64
    embedding_size: int | None = None  # 1 to 65,536; None feeds characters one-hot
    # In training only, at least 0 and below 1:
    dropout: float = 0.35  # share of each layer's outputs that is dropped
    weight_dropout: float = 0.0  # share of each layer's recurrent weights dropped per batch

    def __post_init__(self) -> None:
        bounds = {
            "vocabulary_size": (2, 0x110000),
            "hidden_size": (1, 65_536),
            "layers": (1, 64),
            "embedding_size": (1, 65_536),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if name == "embedding_size" and value is None:
                continue
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be an integer in {low}..{high}, got {value!r:.40}")
        for name in ("dropout", "weight_dropout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {value!r:.40}")

    @property
    def input_size(self) -> int:
        """Size of the first layer's input."""
        return self.embedding_size or self.vocabulary_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every tensor of a checkpoint with this config."""
        gates = 4 * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        if self.embedding_size is not None:
            shapes["embedding.weight"] = (self.vocabulary_size, self.embedding_size)
        for layer in range(self.layers):
            width = self.input_size if layer == 0 else self.hidden_size
            shapes[f"lstm.weight_ih_l{layer}"] = (gates, width)
            shapes[f"lstm.weight_hh_l{layer}"] = (gates, self.hidden_size)
            shapes[f"lstm.bias_ih_l{layer}"] = (gates,)
            shapes[f"lstm.bias_hh_l{layer}"] = (gates,)
        shapes["output.weight"] = (self.vocabulary_size, self.hidden_size)
        shapes["output.bias"] = (self.vocabulary_size,)
        return shapes

    @property
    def parameters(self) -> int:
        """Number of the network's weights."""
        return sum(map(math.prod, self.shapes().values()))
