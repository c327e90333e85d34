"""StepGraph: a step on a GPU, captured once as a CUDA graph and replayed for every character.

A step is about thirty small CUDA kernels, and launching them one by one takes several times as long
as they run. A graph launches them together. It needs tensors at fixed addresses, with fixed shapes.

Shape letters: k steps, K maximum of k, S slots, W padded hidden size, X = layers * W.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from model.pytorch.sampling import SamplingRows, next_ids
from model.pytorch.stepper import Stepper

logger = logging.getLogger("charstream")

MAX_STEPS = 128  # per call
_TEST_STEPS = 3  # steps that are compared after the capture


class StepGraph:
    """Advances all slots of a decoder, because the shapes of a graph are fixed.

    On devices other than a GPU, the same step runs without a graph. Only tests use that.

    Args:
        stepper: a stepper that is not compiled with TorchScript.
        hidden_SX: the backend's hidden values, changed in place by every call.
        cell_SX: the backend's cell values, changed in place by every call.

    Raises:
        RuntimeError: if the step cannot be captured, or the graph gives different results.
    """

    def __init__(self, stepper: Stepper, hidden_SX: Tensor, cell_SX: Tensor) -> None:
        self._stepper, self._hidden_SX, self._cell_SX = stepper, hidden_SX, cell_SX
        slots, device = hidden_SX.size(0), hidden_SX.device
        self._ids_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self._forced_ids_KS = torch.full((MAX_STEPS, slots), -1, device=device)
        self._uniforms_KS = torch.zeros(MAX_STEPS, slots, device=device)
        self._ids_KS = torch.zeros_like(self._forced_ids_KS)
        self._step_1 = torch.zeros(1, dtype=torch.int64, device=device)
        self._rows = SamplingRows.unfiltered(slots, device)
        self._unfiltered = SamplingRows.unfiltered(slots, device)
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            with torch.cuda.device(device):  # streams belong to the current device
                self._graph = self._capture()

    def __call__(
        self, ids_S: Tensor, forced_ids_kS: Tensor, uniforms_kS: Tensor, rows: SamplingRows
    ) -> Tensor:
        """Advance the streams in the first slots by k steps, at most MAX_STEPS.

        The arguments are those of `Stepper.forward`.

        Returns:
            ids, int64 (k, S).
        """
        steps, streams = forced_ids_kS.shape
        self._ids_S[:streams] = ids_S
        self._forced_ids_KS[:steps, :streams] = forced_ids_kS
        self._uniforms_KS[:steps, :streams] = uniforms_kS
        self._copy_params(rows, streams)
        self._step_1.zero_()
        step = self._step if self._graph is None else self._graph.replay
        for _ in range(steps):
            step()
        return self._ids_KS[:steps, :streams].clone()

    def _copy_params(self, rows: SamplingRows, streams: int) -> None:
        for fixed, given, neutral in zip(self._rows, rows, self._unfiltered, strict=True):
            kept = cast("Tensor", neutral)[:streams]  # the value with which a filter keeps all
            cast("Tensor", fixed)[:streams] = kept if given is None else given

    def _step(self) -> None:
        top_SW = self._stepper.recur(self._ids_S, self._hidden_SX, self._cell_SX)
        uniforms_S = self._uniforms_KS.index_select(0, self._step_1)[0]
        drawn_S = next_ids(self._stepper.output(top_SW), uniforms_S, self._rows)
        forced_S = self._forced_ids_KS.index_select(0, self._step_1)[0]
        self._ids_S.copy_(torch.where(forced_S < 0, drawn_S, forced_S))
        self._ids_KS.index_copy_(0, self._step_1, self._ids_S.unsqueeze(0))
        self._step_1.add_(1)

    @torch.inference_mode()
    def _capture(self) -> torch.cuda.CUDAGraph:
        """Return the graph of a step, once it has given the same results as the step itself."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries initialize here, which cannot be captured
            expected = self._test_steps(self._step)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self._clear()
        # By default a capture breaks the calls of other threads, and with them the generations of
        # the model that a reload is about to replace.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            self._step()
        if not all(map(torch.equal, self._test_steps(graph.replay), expected)):
            raise RuntimeError("the captured step and the step itself give different results")
        self._clear()
        return graph

    def _test_steps(self, step: Callable[[], None]) -> list[Tensor]:
        """Compute a few steps from a state of zeros. Return the ids and the state after them."""
        self._clear()
        spread = torch.linspace(0, 0.99, self._uniforms_KS.numel())
        self._uniforms_KS.copy_(spread.view_as(self._uniforms_KS))
        for _ in range(_TEST_STEPS):
            step()
        return [self._ids_KS[:_TEST_STEPS].clone(), self._hidden_SX.clone(), self._cell_SX.clone()]

    def _clear(self) -> None:
        for tensor in (self._ids_S, self._step_1, self._hidden_SX, self._cell_SX):
            tensor.zero_()


def step_graph(stepper: Stepper, hidden_SX: Tensor, cell_SX: Tensor) -> StepGraph | None:
    """Return a graph if the state is on a GPU. Log a warning and return None if capture fails."""
    if hidden_SX.device.type != "cuda":
        return None
    try:
        return StepGraph(stepper, hidden_SX, cell_SX)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        logger.warning("a CUDA graph is not available, so steps are slower: %s", reason)
        return None
