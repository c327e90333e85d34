"""Muon: an optimizer that makes each update of a weight matrix orthogonal, gate by gate.

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

from model.pytorch.network import CharLSTM

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
        matrices = self.matrices.items()
        gradients = {name: each.grad for name, each in matrices if each.grad is not None}
        directions = {name: self._direction(name, each) for name, each in gradients.items()}
        for names in _by_shape(directions):
            gates = [gate for name in names for gate in directions[name].chunk(_GATES)]
            orthogonal = self._orthogonalized(gates)
            for name, part in zip(names, orthogonal.chunk(len(names)), strict=True):
                matrix = self.matrices[name]
                matrix.mul_(1 - rate * self.weight_decay)
                matrix.add_(part.flatten(0, 1), alpha=-rate * _scale(part[0]))

    def _direction(self, name: str, gradient: Tensor) -> Tensor:
        """Average a gradient into its buffer, and return Nesterov's look-ahead."""
        average = self.buffers[name]
        average.lerp_(gradient, 1 - self.momentum)
        return torch.lerp(gradient, average, self.momentum).to(self.dtype)

    def _orthogonalized(self, gates: list[Tensor]) -> Tensor:
        """Return orthogonal matrices (N, H, K) for N gates (H, K)."""
        if self.dtype == torch.float32 and gates[0].device.type == "cpu":
            # Products of single matrices are almost twice as fast as one of a batch in float32, and
            # half as fast in bfloat16.
            return torch.stack([orthogonalize(gate, self.iterations) for gate in gates])
        return orthogonalize(torch.stack(gates), self.iterations)


def _by_shape(matrices: Mapping[str, Tensor]) -> list[list[str]]:
    names: dict[torch.Size, list[str]] = {}
    for name, matrix in matrices.items():
        names.setdefault(matrix.shape, []).append(name)
    return list(names.values())


def weight_matrices(network: CharLSTM) -> dict[str, nn.Parameter]:
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


def orthogonalize(matrices: Tensor, iterations: int) -> Tensor:
    """Return matrices with the same singular vectors, whose singular values are close to 1.

    Five iterations bring the singular values, divided by the Frobenius norm of the matrix, from
    above 0.01 to between about 0.7 and 1.2. More are not more accurate.

    Args:
        matrices: one matrix (H, K), or several (N, H, K).
        iterations: number of Newton-Schulz iterations.
    """
    if matrices.size(-2) > matrices.size(-1):
        return orthogonalize(matrices.mT, iterations).mT
    # The largest singular value is at most the Frobenius norm.
    x: Tensor = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=_EPSILON)
    if x.dim() == 2:
        return orthogonalize(x[None], iterations)[0]
    for _ in range(iterations):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x


def _scale(matrix: Tensor) -> float:
    """Return the factor that gives updates of all shapes the same effect, 1 unless it is tall."""
    return math.sqrt(max(1.0, matrix.size(0) / matrix.size(1)))
