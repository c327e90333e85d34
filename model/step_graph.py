"""StepGraph: a decoder's step on a GPU, captured once as a CUDA graph and replayed.

A step is some thirty small kernels; launching them one by one takes several times as long as they
run. In a graph they are launched together, on tensors that stay where they are.

Shape letters: k steps, K most steps per call, S slots, V vocabulary, X = layers * hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from model.sampling import SamplingRows, next_ids
from model.stepper import Stepper

logger = logging.getLogger("charstream")

MOST_STEPS = 128
_TRIED_STEPS = 3


class StepGraph:
    """Steps all slots of a decoder on, used or not: the shapes of a graph are fixed.

    Off a GPU the same step runs without a graph, which is of use to tests alone.

    Args:
        stepper: not compiled.
        hidden_SX: the decoder's, changed in place by every call.
        cell_SX: likewise.

    Raises:
        RuntimeError: if the step cannot be captured, or the graph computes something else.
    """

    def __init__(self, stepper: Stepper, hidden_SX: Tensor, cell_SX: Tensor) -> None:
        self._stepper, self._hidden_SX, self._cell_SX = stepper, hidden_SX, cell_SX
        slots, device = hidden_SX.size(0), hidden_SX.device
        self._ids_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self._forced_KS = torch.full((MOST_STEPS, slots), -1, device=device)
        self._uniforms_KS = torch.zeros(MOST_STEPS, slots, device=device)
        self._ids_KS = torch.zeros_like(self._forced_KS)
        self._step_1 = torch.zeros(1, dtype=torch.int64, device=device)
        column_S1 = torch.zeros(slots, 1, device=device)
        self._rows = SamplingRows(
            column_S1.clone(), column_S1.long(), column_S1.clone(), column_S1.clone()
        )
        self._replay = self._step
        if device.type == "cuda":
            self._capture()

    def __call__(
        self, ids_S: Tensor, forced_kS: Tensor, uniforms_kS: Tensor, rows: SamplingRows
    ) -> Tensor:
        """As `Stepper.forward`, for streams in the first slots; k at most MOST_STEPS."""
        steps, streams = forced_kS.shape
        self._ids_S[:streams] = ids_S
        self._forced_KS[:steps, :streams] = forced_kS
        self._uniforms_KS[:steps, :streams] = uniforms_kS
        self._take(rows, streams)
        self._step_1.zero_()
        for _ in range(steps):
            self._replay()
        return self._ids_KS[:steps, :streams].clone()

    def _take(self, rows: SamplingRows, streams: int) -> None:
        """Copies sampling parameters; a filter that no stream uses is one that keeps all."""
        for kept, given, keeps_all in zip(self._rows, rows, (1.0, 0, 1.0, 0.0), strict=True):
            cast("Tensor", kept)[:streams] = keeps_all if given is None else given

    def _step(self) -> None:
        top_SH = self._stepper.recur(self._ids_S, self._hidden_SX, self._cell_SX)
        uniforms_S = self._uniforms_KS.index_select(0, self._step_1)[0]
        drawn_S = next_ids(self._stepper.output(top_SH), uniforms_S, self._rows)
        forced_S = self._forced_KS.index_select(0, self._step_1)[0]
        self._ids_S.copy_(torch.where(forced_S < 0, drawn_S, forced_S))
        self._ids_KS.index_copy_(0, self._step_1, self._ids_S.unsqueeze(0))
        self._step_1.add_(1)

    @torch.inference_mode()
    def _capture(self) -> None:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries set themselves up, which cannot be captured
            expected = self._try_out(self._step)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self._clear()
        with torch.cuda.graph(graph):
            self._step()
        if not all(map(torch.equal, self._try_out(graph.replay), expected)):
            raise RuntimeError("the captured step computes something else")
        self._clear()
        self._replay = graph.replay

    def _try_out(self, step: Callable[[], None]) -> list[Tensor]:
        """Where a few steps from a state of zeros lead to."""
        self._clear()
        spread = torch.linspace(0, 0.99, self._uniforms_KS.numel())
        self._uniforms_KS.copy_(spread.view_as(self._uniforms_KS))
        for _ in range(_TRIED_STEPS):
            step()
        return [self._ids_KS[:_TRIED_STEPS].clone(), self._hidden_SX.clone(), self._cell_SX.clone()]

    def _clear(self) -> None:
        for tensor in (self._ids_S, self._step_1, self._hidden_SX, self._cell_SX):
            tensor.zero_()


def step_graph(stepper: Stepper, hidden_SX: Tensor, cell_SX: Tensor) -> StepGraph | None:
    """A graph where the device is a GPU that can capture one; logs it where it cannot."""
    if hidden_SX.device.type != "cuda":
        return None
    try:
        return StepGraph(stepper, hidden_SX, cell_SX)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        logger.warning("no CUDA graph, so steps are slower: %s", reason)
        return None
