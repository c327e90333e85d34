"""TorchBackend: computes the steps with torch operators, on a CPU or a GPU. The reference backend.

Shape letters: k steps, S streams or slots, D numbers of a score, W = padded hidden size,
X = layers * W, R = 1 + 2X.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.network_config import NetworkConfig, Weights
from model.choice.read_cells import ReadCellColumns
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import DecoderState, Precision, StepInput, StepOutput
from model.pytorch.constraints import Constraints
from model.pytorch.held_cells import HeldCellRows, held_states
from model.pytorch.linear import random_rows, rows_are_independent
from model.pytorch.memory import steps_with_memory
from model.pytorch.sampling import SamplingRows
from model.pytorch.step_graph import MAX_STEPS, step_graph
from model.pytorch.stepper import Stepper, Wanted, compiled, rows_per_call

logger = logging.getLogger("charstream")


class TorchBackend:
    """A backend that computes with torch operators. Implements `model.decoding.backend.Backend`.

    Args:
        config: sizes of the network.
        weights: the weights of the network.
        slots: maximum number of streams.
        precision: precision of the matrix products.
        device: device to compute on, the CPU by default.
        threads: number of torch's threads, in the thread that creates the backend and in those
            that call `use_thread`. None keeps torch's setting.

    Raises:
        DeviceError: if the precision is not available on the device.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Weights,
        slots: int,
        precision: Precision,
        device: torch.device | None = None,
        threads: int | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        self._device, self._vocabulary_size = device, config.vocabulary_size
        self._layers, self._hidden_size = config.layers, config.hidden_size
        self._wanted_threads = threads
        self.use_thread()
        stepper = Stepper(config, weights, precision, slots, device)
        self.hidden_SX = torch.zeros(slots, config.layers * stepper.width, device=device)
        self.cell_SX = torch.zeros_like(self.hidden_SX)
        self.graph = step_graph(stepper, self.hidden_SX, self.cell_SX)
        # For GPUs, TorchScript fuses operators after a few calls, and fused ones round differently.
        self.stepper = compiled(stepper) if device.type == "cpu" else stepper.eval()
        self._python_stepper = stepper.eval()  # of steps with memories
        self._threads = 0  # torch's number of threads in the last call
        self.kernel = "torch" if self.graph is None else "torch, CUDA graph"
        self.sample_with([SamplingParams()] * slots)
        if not rows_are_independent(self._step_once, self._example_rows()):
            logger.warning(
                "on this machine, torch's results for a stream depend on the other streams, so a "
                "seed may give different texts; use precision int8 with a native kernel"
            )

    @property
    def threads(self) -> int:
        return self._wanted_threads or torch.get_num_threads()

    def use_thread(self) -> None:
        if self._wanted_threads is not None:
            torch.set_num_threads(self._wanted_threads)  # applies to the calling thread only

    def limit_threads(self, most: int) -> None:
        if self._wanted_threads is not None:
            torch.set_num_threads(max(1, min(most, self._wanted_threads)))

    def put(self, slot: int, state: DecoderState | None) -> None:
        self.hidden_SX[slot] = 0 if state is None else state.hidden
        self.cell_SX[slot] = 0 if state is None else state.cell

    def state(self, slot: int) -> DecoderState:
        return DecoderState(self.hidden_SX[slot].clone(), self.cell_SX[slot].clone())

    def move(self, source: int, target: int) -> None:
        self.hidden_SX[target] = self.hidden_SX[source]
        self.cell_SX[target] = self.cell_SX[source]

    def sample_with(self, params: Sequence[SamplingParams], first: int = 0) -> None:
        self._first = first
        self._rows = SamplingRows.of(params, self._vocabulary_size, self._device)
        size = self.cell_SX.shape[1]
        self._held_SX = held_states(params, self._layers, size, self._device)
        self._constraints: Constraints | None = None
        if any(p.constrained for p in params):
            self._constraints = Constraints(params, first, self._vocabulary_size, self._device)

    @torch.inference_mode()
    def step(self, inputs: StepInput) -> StepOutput:
        self._use_threads(torch.get_num_threads())
        steps, streams = inputs.forced_ids_kS.shape
        last_ids_S, forced_ids_kS, uniforms_kS = (
            torch.from_numpy(array).to(self._device)
            for array in (inputs.last_ids_S, inputs.forced_ids_kS, inputs.uniforms_kS)
        )
        scored = [count for count in inputs.alternatives if count is not None]
        columns = ReadCellColumns.of(inputs.cells, self._hidden_size, self.stepper.width)
        progress = None
        constraints = None if self._constraints is None else self._constraints.rows(inputs)
        fits = inputs.first == 0 and steps <= MAX_STEPS
        plain = not (scored or inputs.memories) and self._held_SX is None
        plain = plain and columns is None and constraints is None
        if self.graph is not None and fits and plain:
            ids_kS = self.graph(last_ids_S, forced_ids_kS, uniforms_kS, self._rows)
            return StepOutput(ids_kS.cpu().numpy(), None)
        slots = slice(inputs.first, inputs.first + streams)
        rows = slice(inputs.first - self._first, slots.stop - self._first)
        wanted = Wanted(
            0 if inputs.memories else _steps_without_logits(inputs),
            self._rows.of_streams(rows),
            min(max(scored), self._vocabulary_size) if scored else -1,
            self._held_rows(inputs, rows),
            None if columns is None else self._read_cells(columns),
            constraints,
        )
        hidden_SX, cell_SX = self.hidden_SX[slots], self.cell_SX[slots]
        steps_of = partial(steps_with_memory, self._python_stepper, inputs.memories)
        ids_kS, scores_kSD, states_kC = (steps_of if inputs.memories else self.stepper)(
            last_ids_S, hidden_SX, cell_SX, forced_ids_kS, uniforms_kS, wanted
        )
        if self._constraints is not None and constraints is not None:
            progress = self._constraints.progress(inputs, constraints)
        return StepOutput(
            ids_kS.cpu().numpy(),
            scores_kSD.cpu().numpy() if scored else None,
            () if columns is None else columns.values(states_kC.cpu().numpy()),
            progress,
        )

    def _held_rows(self, inputs: StepInput, rows: slice) -> HeldCellRows | None:
        if self._held_SX is None:
            return None
        first_step_S = torch.from_numpy(inputs.prompt_steps_S).to(self._device)
        return HeldCellRows(self._held_SX[rows], first_step_S.unsqueeze(1))

    def _read_cells(self, columns: ReadCellColumns) -> Tensor:
        """Return the numbers of the cells to read, counted over all streams."""
        rows_C = np.repeat(np.arange(len(columns.read_offsets) - 1), np.diff(columns.read_offsets))
        numbers_C = rows_C * self.cell_SX.shape[1] + columns.read_cells
        return torch.from_numpy(numbers_C).to(self._device)

    def _step_once(self, rows_SR: Tensor) -> Tensor:
        """Compute one step of streams given as rows: an id, then hidden and cell values.

        Returns:
            one row per stream: the new hidden and cell values, then the logits.
        """
        self._use_threads(torch.get_num_threads())
        hidden_SX, cell_SX = (part.contiguous() for part in rows_SR[:, 1:].clone().chunk(2, dim=1))
        top_SW = self.stepper.recur(rows_SR[:, 0].long(), hidden_SX, cell_SX)
        return torch.cat([hidden_SX, cell_SX, self.stepper.output(top_SW)], dim=1)

    def _example_rows(self) -> Tensor:
        slots, size = self.hidden_SX.shape
        rows_SR = random_rows(slots, 1 + 2 * size, self._device)
        rows_SR[:, 0] = torch.arange(slots) % self._vocabulary_size
        return rows_SR

    def _use_threads(self, threads: int) -> None:
        """Adapt to the number of threads that torch uses, which each calling thread can set."""
        if threads != self._threads:
            self._threads = threads
            rows = rows_per_call(self.stepper.width, self._device, threads)
            self.stepper.rows_per_call = self._python_stepper.rows_per_call = rows


def _steps_without_logits(inputs: StepInput) -> int:
    """Return the number of first steps in which no stream scores or draws a character."""
    forced_kS = np.vstack([inputs.forced_ids_kS >= 0, np.zeros(inputs.forced_ids_kS.shape[1:])])
    forced_S = forced_kS.argmin(axis=0)  # steps before the first one that draws
    steps_S = [
        forced if alternatives is None else prompt
        for forced, alternatives, prompt in zip(
            forced_S.tolist(), inputs.alternatives, inputs.prompt_steps_S.tolist(), strict=True
        )
    ]
    return min(steps_S, default=0)
