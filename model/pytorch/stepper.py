"""Stepper: reads one character per step, for many streams at once, with torch operators.

It computes the same function as `CharLSTM`, arranged for generation:

- The input product of the first layer is a row of a table.
- The two products of each higher layer are one product with stacked weights.
- Weights are packed once, see `model.pytorch.linear`.
- tanh(x) is 2 sigmoid(2x) - 1, and the inner 2 is folded into the weights of the cell gate, so that
  one sigmoid covers all gates. On a CPU, torch's sigmoid takes a fifth of the time of its tanh.

A stream's result has the same bits alone and together with other streams. For matrix products,
`pytorch.linear` ensures this. In element-wise operations, torch uses vector instructions for whole
vectors and scalar code for the rest of a range. The two may differ in the last bit. A range ends at
the end of a row, and where the work of one thread ends. So each row is padded to whole vectors, and
if the threads would not divide a call into whole vectors, the call is made small enough for one
thread.

Shape letters: k steps, S streams, V vocabulary, H hidden, W = H padded to whole vectors, L layers,
G = 4W gate rows, X = L * W, C cells to read, D numbers of a score.
"""

# No `from __future__ import annotations` here: TorchScript reads Wanted's field types.
import logging
import warnings
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoints.network_config import Array, NetworkConfig, Weights
from model.decoding.backend import Precision
from model.decoding.quantization import input_table, padded_weights, stacked_weight
from model.pytorch.constraints import ConstraintRows, choose_constrained
from model.pytorch.held_cells import HeldCellRows, held_in_step, hold
from model.pytorch.linear import prepare
from model.pytorch.sampling import SamplingRows, next_ids, sampling_probabilities, score_rows

_VECTOR_VALUES = 32  # most values per iteration of torch's loops: two AVX-512 vectors
_SERIAL_VALUES = 32_767  # most values that torch computes in one thread: GRAIN_SIZE - 1 of ATen
_ALL_ROWS = 1 << 30

logger = logging.getLogger("charstream")


class Wanted(NamedTuple):
    """How S streams draw in some steps, and what they return beside the ids."""

    steps_without_logits: int  # first steps whose logits no stream needs: all ids are forced
    rows: SamplingRows
    alternatives: int  # number of top alternatives to score, see `score_rows`; below 0, no scores
    held: HeldCellRows | None  # None if no stream holds a cell
    read_cells: Tensor | None  # numbers s * X + x of `cell_SX`, int64 (C,); None: none are read
    constraints: ConstraintRows | None  # changed in place; None if no stream has one


class Stepper(nn.Module):
    """Advances S streams by k characters.

    The state is two tensors (S, X), which `forward` changes in place: the hidden values of all
    layers side by side, and the cell values likewise.

    Attributes:
        width: W.
        rows_per_call: result of the function `rows_per_call` for the thread that calls the stepper.

    Args:
        config: sizes of the network.
        weights: the weights of the network.
        precision: precision of the matrix products.
        streams: maximum number of streams.
        device: device to compute on, the CPU by default.

    Raises:
        DeviceError: if the precision is not available on the device.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Weights,
        precision: Precision,
        streams: int = 1,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        weights = padded_weights(weights, _VECTOR_VALUES)
        self.width = weights["output.weight"].shape[1]
        self.rows_per_call = _ALL_ROWS

        def layer(weight_NK: Array, bias_N: Array) -> nn.Module:
            return prepare(_tensor(weight_NK, device), _tensor(bias_N, device), precision, streams)

        self.table_VG = _tensor(_reorder(input_table(weights).T).T, device)
        no_bias = np.zeros_like(weights["lstm.bias_hh_l0"])
        first = layer(_reorder(weights["lstm.weight_hh_l0"]), no_bias)
        stacked = [stacked_weight(weights, number) for number in range(1, config.layers)]
        higher = [layer(_reorder(weight), _reorder(bias)) for weight, bias in stacked]
        self.gates = nn.ModuleList([first, *higher])
        self.output = layer(weights["output.weight"], weights["output.bias"])

    def forward(
        self,
        ids_S: Tensor,
        hidden_SX: Tensor,
        cell_SX: Tensor,
        forced_ids_kS: Tensor,
        uniforms_kS: Tensor,
        wanted: Wanted,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run k steps. The first reads `ids_S`, each later one the result of the step before.

        Args:
            ids_S: the first character that each stream reads, int64.
            hidden_SX: hidden values, changed in place.
            cell_SX: cell values, changed in place.
            forced_ids_kS: ids to use as results instead of drawn ones, int64. -1 draws one.
            uniforms_kS: the random numbers to draw with, float32 in [0, 1).
            wanted: how to draw, and what to return beside the ids.

        Returns:
            ids (k, S), int64; scores (k, S, D), float64, zeros in steps without logits; and cell
            states (k, C), float32. Scores or states that are not computed have no elements.
        """
        ids: list[Tensor] = []
        scores: list[Tensor] = []
        states: list[Tensor] = []
        read_cells = wanted.read_cells  # a name that TorchScript refines
        for step, forced_S in enumerate(forced_ids_kS):
            top_SW = self.recur(ids_S, hidden_SX, cell_SX, held_in_step(wanted.held, step))
            if read_cells is not None:
                states.append(cell_SX.take(read_cells))
            if step < wanted.steps_without_logits:
                ids_S = forced_S
                _skip_choice(ids_S, wanted, scores)
            else:
                logits_SV = self.output(top_SW)
                ids_S = self.choose(logits_SV, forced_S, uniforms_kS[step], wanted, scores)
            ids.append(ids_S)
        return torch.stack(ids), stacked(scores, uniforms_kS), stacked(states, uniforms_kS)

    @torch.jit.export
    def choose(
        self,
        logits_SV: Tensor,
        forced_S: Tensor,
        uniforms_S: Tensor,
        wanted: Wanted,
        scores: list[Tensor],
    ) -> Tensor:
        """Return the ids (S,) of a step: forced or drawn. Append their scores to `scores`."""
        drawn_S = next_ids(logits_SV, uniforms_S, wanted.rows)
        ids_S = torch.where(forced_S < 0, drawn_S, forced_S)
        probabilities_SV, constraints = logits_SV, wanted.constraints
        if wanted.alternatives >= 0:
            probabilities_SV = sampling_probabilities(logits_SV, wanted.rows)
        if constraints is not None:
            ids_S, probabilities_SV = choose_constrained(
                logits_SV, uniforms_S, forced_S, constraints, ids_S, probabilities_SV
            )
        if wanted.alternatives >= 0:
            scores.append(score_rows(logits_SV, ids_S, probabilities_SV, wanted.alternatives))
        return ids_S

    @torch.jit.export
    def recur(
        self, ids_S: Tensor, hidden_SX: Tensor, cell_SX: Tensor, held_SX: Tensor | None = None
    ) -> Tensor:
        """Read one character per stream. Return the hidden values of the top layer, (S, W).

        The cell states are replaced with `held_SX`, except where it is NaN.
        """
        width, streams = self.width, ids_S.size(0)
        for layer, product in enumerate(self.gates):
            begin, end = layer * width, (layer + 1) * width
            if layer == 0:
                gates_SG = product(hidden_SX[:, :width]).add_(self.table_VG.index_select(0, ids_S))
            else:
                gates_SG = product(hidden_SX[:, begin - width : end])
            hidden_SW, cell_SW = hidden_SX[:, begin:end], cell_SX[:, begin:end]
            held_SW = None if held_SX is None else held_SX[:, begin:end]
            if streams <= self.rows_per_call:
                _update(gates_SG, hidden_SW, cell_SW, held_SW)
            else:
                for first in range(0, streams, self.rows_per_call):
                    last = first + self.rows_per_call
                    held_rows = None if held_SW is None else held_SW[first:last]
                    hidden_rows, cell_rows = hidden_SW[first:last], cell_SW[first:last]
                    _update(gates_SG[first:last], hidden_rows, cell_rows, held_rows)
        return hidden_SX[:, -width:]


def rows_per_call(width: int, device: torch.device, threads: int) -> int:
    """Return the maximum number of rows of one element-wise call.

    The module's docstring explains why it is limited.

    Args:
        width: W.
        device: device of the rows.
        threads: number of threads that torch uses for a call of more than _SERIAL_VALUES values.
    """
    whole_vectors = threads == 1 or (threads == 2 and width % (2 * _VECTOR_VALUES) == 0)
    if whole_vectors or device.type != "cpu":
        return _ALL_ROWS
    return max(1, _SERIAL_VALUES // (4 * width))


def _update(gates_SG: Tensor, hidden_SW: Tensor, cell_SW: Tensor, held_SW: Tensor | None) -> None:
    """Update a layer's cell and hidden values in place from the results of its product."""
    forget_SW, input_SW, output_SW, doubled_SW = gates_SG.sigmoid_().chunk(4, dim=1)
    cell_SW.mul_(forget_SW).sub_(input_SW).addcmul_(input_SW, doubled_SW, value=2.0)
    if held_SW is not None:
        hold(cell_SW, held_SW)
    squashed_SW = (cell_SW * 2.0).sigmoid_()
    torch.addcmul(-output_SW, output_SW, squashed_SW, value=2.0, out=hidden_SW)


def _skip_choice(ids_S: Tensor, wanted: Wanted, scores: list[Tensor]) -> None:
    """Do what `Stepper.choose` does with scores and constraints, in a step without logits."""
    if wanted.alternatives >= 0:
        shape = [ids_S.size(0), 4 + 3 * wanted.alternatives]
        scores.append(torch.zeros(shape, dtype=torch.float64, device=ids_S.device))
    constraints = wanted.constraints
    if constraints is not None:
        constraints.lengths_P.add_(1)


def stacked(parts: list[Tensor], like: Tensor) -> Tensor:
    """Return the parts of all steps as one tensor, without elements if there are none."""
    return torch.stack(parts) if len(parts) > 0 else like[:0]


def compiled(stepper: Stepper) -> Stepper:
    """Compile a stepper with TorchScript: the same operators, without Python between them.

    It is about three times as fast for one stream, and it runs without the interpreter's lock.
    If this version of torch cannot compile it, log a warning and return the stepper itself.
    """
    try:
        with warnings.catch_warnings():
            # Deprecated, but torch.compile needs a C++ compiler on the serving machine.
            warnings.simplefilter("ignore")
            return cast("Stepper", torch.jit.script(stepper.eval()))
    except Exception as error:  # a later torch or Python may raise anything here
        reason = str(error).strip().partition("\n")[0]
        logger.warning("TorchScript is not available, so steps are slower: %s", reason)
        return stepper.eval()


def _reorder(weight: Array) -> Array:
    """Reorder gate rows from torch's input, forget, cell, output to forget, input, output, cell.

    The rows of the cell gate are doubled, so that a sigmoid can stand for their tanh.
    """
    input_gate, forget_gate, cell_gate, output_gate = np.split(weight, 4)
    return np.concatenate([forget_gate, input_gate, output_gate, 2 * cell_gate])


def _tensor(array: Array, device: torch.device | None) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
