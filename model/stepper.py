"""Stepper: a CharLSTM that reads one character at a time, for many streams at once.

The same function as `CharLSTM`, arranged for generation: the first layer's input product is a
row of a table, each higher layer's two products are one, and weights are prepared once (see
`model.linear`). tanh(x) is 2 sigmoid(2x) - 1, the 2 inside folded into the candidate's weights, so
that one sigmoid covers all gates: torch's sigmoid takes a fifth of the time of its tanh on a CPU.

Shape letters: k steps, S streams, V vocabulary, H hidden, L layers, G = 4H gates, X = L * H.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from model.linear import Precision, prepare
from model.network import NetworkConfig
from model.packing import input_table, stacked_weight
from model.sampling import SamplingRows, next_ids, sampling_probabilities
from model.scores import score_rows

logger = logging.getLogger("charstream")


class Stepper(nn.Module):
    """Steps S streams k characters on.

    State is two tensors (S, X), the layers' hidden and cell values side by side, which `forward`
    changes in place.

    Args:
        config: the network's sizes.
        weights: torch's names to float32 tensors on the device to run on.
        precision: of the products.
        streams: most streams at a time.

    Raises:
        DeviceError: if the device does not have the precision.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Mapping[str, Tensor],
        precision: Precision,
        streams: int = 1,
    ) -> None:
        super().__init__()
        self.size = config.hidden_size
        self.table_VG = _reorder(input_table(weights).T).T.contiguous()
        no_bias = torch.zeros_like(weights["lstm.bias_hh_l0"])
        first = prepare(_reorder(weights["lstm.weight_hh_l0"]), no_bias, precision, streams)
        stacked = [stacked_weight(weights, layer) for layer in range(1, config.layers)]
        higher = [
            prepare(_reorder(weight), _reorder(bias), precision, streams)
            for weight, bias in stacked
        ]
        self.gates = nn.ModuleList([first, *higher])
        self.output = prepare(weights["output.weight"], weights["output.bias"], precision, streams)

    def forward(
        self,
        ids_S: Tensor,
        hidden_SX: Tensor,
        cell_SX: Tensor,
        forced_ids_kS: Tensor,
        uniforms_kS: Tensor,
        visible_k: list[bool],
        rows: SamplingRows,
        alternatives: int = -1,
    ) -> tuple[Tensor, Tensor]:
        """Reads `ids_S`, then what comes of it, k times.

        Args:
            ids_S: each stream's next character to read, int64.
            hidden_SX: changed in place.
            cell_SX: changed in place.
            forced_ids_kS: the character to take whatever the scores say, int64; -1 to draw one.
            uniforms_kS: what to draw with.
            visible_k: whether a step's result matters to any stream beside its being forced;
                where it does to none, logits are not computed.
            rows: how to draw.
            alternatives: of `model.scores.score_rows`; below 0, no scores are made.

        Returns:
            ids (k, S), int64, and scores (k, S, D), float64, zeros where a step is not visible;
            without elements where none are made.
        """
        steps: list[Tensor] = []
        scores: list[Tensor] = []
        for step, visible in enumerate(visible_k):
            top_SH = self.recur(ids_S, hidden_SX, cell_SX)
            forced_S = forced_ids_kS[step]
            if visible:
                logits_SV = self.output(top_SH)
                drawn_S = next_ids(logits_SV, uniforms_kS[step], rows)
                ids_S = torch.where(forced_S < 0, drawn_S, forced_S)
                if alternatives >= 0:
                    drawn_with_S = sampling_probabilities(logits_SV, ids_S, rows)
                    scores.append(score_rows(logits_SV, ids_S, drawn_with_S, alternatives))
            else:
                ids_S = forced_S
                if alternatives >= 0:
                    width = 4 + 2 * alternatives
                    scores.append(top_SH.new_zeros([ids_S.size(0), width], dtype=torch.float64))
            steps.append(ids_S)
        made = torch.stack(scores) if len(scores) > 0 else uniforms_kS[:0]
        return torch.stack(steps), made

    @torch.jit.export
    def recur(self, ids_S: Tensor, hidden_SX: Tensor, cell_SX: Tensor) -> Tensor:
        """Feeds one character to every stream; returns the top layer's hidden values (S, H)."""
        size = self.size
        for layer, product in enumerate(self.gates):
            begin, end = layer * size, (layer + 1) * size
            if layer == 0:
                gates_SG = product(hidden_SX[:, :size]).add_(self.table_VG.index_select(0, ids_S))
            else:
                gates_SG = product(hidden_SX[:, begin - size : end])
            forget_SH, input_SH, output_SH, doubled_SH = gates_SG.sigmoid_().chunk(4, dim=1)
            cell_SH = cell_SX[:, begin:end]
            cell_SH.mul_(forget_SH).sub_(input_SH).addcmul_(input_SH, doubled_SH, value=2.0)
            squashed_SH = (cell_SH * 2.0).sigmoid_()
            hidden_SH = hidden_SX[:, begin:end]
            torch.addcmul(-output_SH, output_SH, squashed_SH, value=2.0, out=hidden_SH)
        return hidden_SX[:, -size:]


def compiled(stepper: Stepper) -> Stepper:
    """The stepper as TorchScript: the same operators without Python between them.

    It steps a lone stream about three times as fast, and runs without the interpreter's lock.
    Where torch can no longer do that, the stepper itself is returned, and a warning logged.
    """
    try:
        with warnings.catch_warnings():
            # Deprecated in favour of compilers that need a C++ compiler where the model is served.
            warnings.simplefilter("ignore")
            return cast("Stepper", torch.jit.script(stepper.eval()))
    except Exception as error:  # whatever a torch or a Python that has outgrown it may raise
        reason = str(error).strip().partition("\n")[0]
        logger.warning("TorchScript is not available, so steps are slower: %s", reason)
        return stepper.eval()


def _reorder(weight: Tensor) -> Tensor:
    """Reorder gate rows from torch's input, forget, cell, output to forget, input, output, cell.

    The rows of the cell gate are doubled, so that a sigmoid can stand for their tanh.
    """
    input_gate, forget_gate, cell_gate, output_gate = weight.chunk(4)
    return torch.cat([forget_gate, input_gate, output_gate, 2 * cell_gate])
