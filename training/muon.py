"""Muon: an optimizer that makes each update of a recurrent matrix orthogonal, gate by gate.

The formula and the coefficients are those of Jordan et al. 2024, "Muon: An optimizer for hidden
layers in neural networks" (https://kellerjordan.github.io/posts/muon). `torch.optim.Muon` computes
the same, but it needs PyTorch 2.9 and always computes in bfloat16, which many CPUs only emulate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from model.network import CharLSTM

_GATES = 4  # stacked in the rows of an LSTM's weights
_A, _B, _C = 3.4445, -4.7750, 2.0315  # coefficients of the Newton-Schulz iteration
_EPSILON = 1e-7


@dataclass(frozen=True)
class Muon:
    """Momentum whose direction is made orthogonal before it is applied.

    Attributes:
        matrices: the weights by name, (4 H, K) each: the matrices of the four gates, stacked.
        momentum: decay of the averaged gradient, with Nesterov's look-ahead.
        iterations: Newton-Schulz iterations per update.
        weight_decay: share of a weight that an update at learning rate 1 subtracts.
        dtype: type in which the matrices are made orthogonal.
        buffers: the averaged gradients by name.
    """

    matrices: Mapping[str, nn.Parameter]
    momentum: float
    iterations: int
    weight_decay: float
    dtype: torch.dtype
    buffers: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        zeros = {name: torch.zeros_like(matrix) for name, matrix in self.matrices.items()}
        object.__setattr__(self, "buffers", zeros)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update the matrices from their gradients at a learning rate."""
        for name, matrix in self.matrices.items():
            gradient, average = matrix.grad, self.buffers[name]
            if gradient is None:
                continue
            average.lerp_(gradient, 1 - self.momentum)
            matrix.mul_(1 - rate * self.weight_decay)
            directions = gradient.lerp(average, self.momentum).chunk(_GATES)
            # On a CPU, separate products are as fast as one batched product in bfloat16, and
            # almost twice as fast in float32.
            for gate, direction in zip(matrix.chunk(_GATES), directions, strict=True):
                orthogonal = orthogonalize(direction.to(self.dtype), self.iterations)
                gate.add_(orthogonal, alpha=-rate * _scale(gate))


def recurrent_matrices(network: CharLSTM) -> dict[str, nn.Parameter]:
    """Return the weights that Muon updates, by name.

    These are the matrices between hidden values, and from a learned embedding to the first layer.
    The matrix for a one-hot input is not among them: each of its columns belongs to one character,
    and an orthogonal update would change rare and frequent characters alike.
    """
    one_hot = network.config.embedding_size is None
    return {
        name: parameter
        for name, parameter in network.lstm.named_parameters()
        if name.startswith("weight") and not (one_hot and name == "weight_ih_l0")
    }


def orthogonalize(matrix: Tensor, iterations: int) -> Tensor:
    """Return a matrix with the same singular vectors, whose singular values are close to 1.

    Five iterations bring the singular values, divided by the Frobenius norm of the matrix, from
    above 0.01 to between about 0.7 and 1.2. More are not more accurate.
    """
    if matrix.size(0) > matrix.size(1):
        return orthogonalize(matrix.mT, iterations).mT
    x: Tensor = matrix / matrix.norm().clamp(
        min=_EPSILON
    )  # the largest singular value is now at most 1
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x


def _scale(matrix: Tensor) -> float:
    """Return the factor that gives updates of all shapes the same effect, 1 if square."""
    return math.sqrt(max(1.0, matrix.size(0) / matrix.size(1)))
