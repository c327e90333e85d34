"""CharLSTM: a network that computes logits for the next character from the characters so far.

Shape letters: T steps, B batch size, V vocabulary, H hidden, L layers, I input size of a layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dropout import dropout
from model.lstm_layer import State, lstm_layer


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

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

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


class CharLSTM(nn.Module):
    """One-hot or embedded characters, LSTM layers with dropout, and a linear output layer.

    `torch.nn.LSTM` documents the equations of a layer (Hochreiter and Schmidhuber 1997).
    In training, weight dropout gives each batch its own random subset of the recurrent weights
    (Merity et al. 2017, "Regularizing and Optimizing LSTM Language Models").

    Use it to train and to evaluate whole texts. To generate, use `model.decoder`: it computes the
    same function one character at a time, without the cost of an `nn.LSTM` call per character.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        if config.embedding_size is not None:
            self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.lstm = nn.LSTM(config.input_size, config.hidden_size, config.layers)
        self.output = nn.Linear(config.hidden_size, config.vocabulary_size)
        if config.embedding_size is None:
            # With a one-hot input, only one column of these weights contributes to a gate. With
            # torch's default initialization the input would have almost no effect at first.
            nn.init.normal_(self.lstm.all_weights[0][0])

    def forward(self, ids_TB: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute the logits of the next character after each step, and the state at the end.

        Args:
            ids_TB: character ids, int64 (T, B).
            state: hidden and cell values, (L, B, H) each. None stands for zeros.

        Returns:
            logits (T, B, V), and the new state.
        """
        inputs_TBI = self._inputs(ids_TB)
        if self.training:
            hidden_TBH, state = self._with_dropout(inputs_TBI, state)
        else:
            hidden_TBH, state = self.lstm(inputs_TBI, state)
        return self.output(hidden_TBH), state

    def zero_state(self, batch_size: int) -> State:
        """Return a state of zeros on the network's device."""
        shape = (self.config.layers, batch_size, self.config.hidden_size)
        weight = self.output.weight
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def _with_dropout(self, values_TBI: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Compute what `self.lstm` computes, layer by layer, with both kinds of dropout."""
        config = self.config
        hidden_LBH, cell_LBH = self.zero_state(values_TBI.size(1)) if state is None else state
        ends: list[State] = []
        for layer, weights in enumerate(self.lstm.all_weights):
            weight_ih, weight_hh, *biases = weights
            part_hh = dropout(weight_hh, config.weight_dropout)
            before = (hidden_LBH[layer : layer + 1], cell_LBH[layer : layer + 1])
            values_TBI, end = lstm_layer(values_TBI, before, (weight_ih, part_hh, *biases))
            ends.append(end)
            values_TBI = dropout(values_TBI, config.dropout)
        return values_TBI, (torch.cat([h for h, _ in ends]), torch.cat([c for _, c in ends]))

    def _inputs(self, ids_TB: Tensor) -> Tensor:
        """Return the input of the first layer, (T, B, I): one-hot or embedded."""
        if self.config.embedding_size is not None:
            embedded: Tensor = self.embedding(ids_TB)
            return embedded
        return F.one_hot(ids_TB, self.config.vocabulary_size).to(self.output.weight.dtype)
