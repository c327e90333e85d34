"""CharLSTM: a network that computes logits for the next character from the characters so far.

Shape letters: T steps, B batch size, V vocabulary, H hidden, L layers, I input size of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import Array, NetworkConfig, Weights
from model.pytorch.lstm_layer import State, dropout, lstm_layer


class CharLSTM(nn.Module):
    """One-hot or embedded characters, LSTM layers with dropout, and a linear output layer.

    `torch.nn.LSTM` documents the equations of a layer (Hochreiter and Schmidhuber 1997).
    In training, weight dropout gives each batch its own random subset of the recurrent weights
    (Merity et al. 2017, "Regularizing and Optimizing LSTM Language Models").

    Use it to train and to evaluate whole texts. To generate, use `decoding.decoder`: it computes
    the same function one character at a time, without the cost of an `nn.LSTM` call for each.
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

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> CharLSTM:
        """Return the network of a checkpoint, in evaluation mode, on the CPU."""
        network = cls(checkpoint.config)
        network.load(checkpoint.weights)
        return network.eval()

    def load(self, weights: Weights) -> None:
        """Copy the weights of a checkpoint into this network."""
        self.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})

    def weights(self) -> dict[str, Array]:
        """Return copies of the weights, for a checkpoint."""
        return arrays(self.state_dict())

    def forward(self, ids_TB: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute the logits of the next character after each step, and the state at the end.

        Args:
            ids_TB: character ids, int64 (T, B).
            state: hidden and cell values, (L, B, H) each. None stands for zeros.

        Returns:
            logits (T, B, V), and the new state.
        """
        inputs_TBI = self._inputs(ids_TB)
        if self.training or torch.is_autocast_enabled(ids_TB.device.type):
            hidden_TBH, state = self._by_layer(inputs_TBI, state)
        else:
            hidden_TBH, state = self.lstm(inputs_TBI, state)
        return self.output(hidden_TBH), state

    def zero_state(self, batch_size: int) -> State:
        """Return a state of zeros on the network's device."""
        shape = (self.config.layers, batch_size, self.config.hidden_size)
        weight = self.output.weight
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def _by_layer(self, values_TBI: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Compute what `self.lstm` computes, with both kinds of dropout in training."""
        config = self.config
        share, weight_share = (
            (config.dropout, config.weight_dropout) if self.training else (0.0, 0.0)
        )
        hidden_LBH, cell_LBH = self.zero_state(values_TBI.size(1)) if state is None else state
        ends: list[State] = []
        for layer, weights in enumerate(self.lstm.all_weights):
            weight_ih, weight_hh, *biases = weights
            part_hh = dropout(weight_hh, weight_share)
            before = (hidden_LBH[layer : layer + 1], cell_LBH[layer : layer + 1])
            values_TBI, end = lstm_layer(values_TBI, before, (weight_ih, part_hh, *biases))
            ends.append(end)
            values_TBI = dropout(values_TBI, share)
        return values_TBI, (torch.cat([h for h, _ in ends]), torch.cat([c for _, c in ends]))

    def _inputs(self, ids_TB: Tensor) -> Tensor:
        """Return the input of the first layer, (T, B, I): one-hot or embedded."""
        if self.config.embedding_size is not None:
            embedded: Tensor = self.embedding(ids_TB)
            return embedded
        return F.one_hot(ids_TB, self.config.vocabulary_size).to(self.output.weight.dtype)


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Return float32 copies of tensors as numpy arrays."""
    return {
        name: np.array(tensor.detach().cpu().float().numpy()) for name, tensor in tensors.items()
    }
