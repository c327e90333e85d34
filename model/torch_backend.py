"""TorchBackend: streams that torch's operators step, on a CPU or a GPU. The reference.

Shape letters: S slots, X = layers * hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.backend import DecoderState, StepInput, StepOutput
from model.linear import Precision
from model.network import NetworkConfig
from model.sampling import SamplingParams, SamplingRows
from model.step_graph import MOST_STEPS, step_graph
from model.stepper import Stepper, compiled


class TorchBackend:
    """See `model.backend.Backend`.

    Args:
        weights: torch's names to float32 tensors on the device to run on.

    Raises:
        DeviceError: if the device does not have the precision.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Mapping[str, Tensor],
        slots: int,
        precision: Precision,
    ) -> None:
        device = weights["output.bias"].device
        self.hidden_SX = torch.zeros(slots, config.layers * config.hidden_size, device=device)
        self.cell_SX = torch.zeros_like(self.hidden_SX)
        self._device, self._characters = device, config.vocabulary_size
        stepper = Stepper(config, weights, precision, slots)
        self.graph = step_graph(stepper, self.hidden_SX, self.cell_SX)
        self.stepper = compiled(stepper)
        self.kernel = "torch" if self.graph is None else "torch, CUDA graph"
        self.sample_with([SamplingParams()] * slots)

    def put(self, slot: int, state: DecoderState | None) -> None:
        for rows, name in ((self.hidden_SX, "hidden"), (self.cell_SX, "cell")):
            if state is None:
                rows[slot].zero_()
            else:
                rows[slot].copy_(getattr(state, name))

    def state(self, slot: int) -> DecoderState:
        return DecoderState(self.hidden_SX[slot].clone(), self.cell_SX[slot].clone())

    def move(self, source: int, target: int) -> None:
        for rows in (self.hidden_SX, self.cell_SX):
            rows[target].copy_(rows[source])

    def sample_with(self, params: Sequence[SamplingParams]) -> None:
        self._rows = SamplingRows.of(params, self._characters, self._device)

    @torch.inference_mode()
    def step(self, inputs: StepInput) -> StepOutput:
        steps, streams = inputs.forced_ids_kS.shape
        last_S, forced_ids_kS, uniforms_kS = (
            torch.from_numpy(array).to(self._device)
            for array in (inputs.last_ids_S, inputs.forced_ids_kS, inputs.uniforms_kS)
        )
        wanted = [count for count in inputs.alternatives if count is not None]
        graph = self.graph if inputs.first == 0 and not wanted and steps <= MOST_STEPS else None
        if graph is not None:
            return StepOutput(
                graph(last_S, forced_ids_kS, uniforms_kS, self._rows).cpu().numpy(), None
            )
        slots = slice(inputs.first, inputs.first + streams)
        hidden = min(inputs.prompt_steps_S.tolist(), default=0)
        ids_kS, scores_kSD = self.stepper(
            last_S,
            self.hidden_SX[slots],
            self.cell_SX[slots],
            forced_ids_kS,
            uniforms_kS,
            [step >= hidden for step in range(steps)],
            self._rows.of_streams(slots),
            min(max(wanted), self._characters) if wanted else -1,
        )
        return StepOutput(ids_kS.cpu().numpy(), scores_kSD.cpu().numpy() if wanted else None)
