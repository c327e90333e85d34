"""Memory: steps of streams of which some have a memory, which the native library computes.

Shape letters: k steps, S streams, V vocabulary, W = padded hidden size, X = layers * W.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.native.memory import Memory, mix
from model.pytorch.held_cells import held_in_step
from model.pytorch.stepper import Stepper, Wanted, stacked


def steps_with_memory(
    stepper: Stepper,
    memories: Sequence[Memory | None],
    ids_S: Tensor,
    hidden_SX: Tensor,
    cell_SX: Tensor,
    forced_ids_kS: Tensor,
    uniforms_kS: Tensor,
    wanted: Wanted,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run k steps on a CPU as `Stepper.forward` does, with logits that are mixed with memories."""
    ids: list[Tensor] = []
    scores: list[Tensor] = []
    states: list[Tensor] = []
    for step, forced_S in enumerate(forced_ids_kS):
        top_SW = stepper.recur(ids_S, hidden_SX, cell_SX, held_in_step(wanted.held, step))
        if wanted.read_cells is not None:
            states.append(cell_SX.take(wanted.read_cells))
        logits_SV = _mixed(memories, ids_S, stepper.output(top_SW))
        ids_S = stepper.choose(logits_SV, forced_S, uniforms_kS[step], wanted, scores)
        ids.append(ids_S)
    return torch.stack(ids), stacked(scores, uniforms_kS), stacked(states, uniforms_kS)


def _mixed(memories: Sequence[Memory | None], ids_S: Tensor, logits_SV: Tensor) -> Tensor:
    rows_SV = logits_SV.clone(memory_format=torch.contiguous_format)
    for memory, character, row_V in zip(memories, ids_S.tolist(), rows_SV.numpy(), strict=True):
        if memory is not None:
            row_V[:] = mix(memory, character, row_V)
    return rows_SV
