"""Decoders and backends that step with `StepGraph`: captured on a GPU, without a graph elsewhere.

If the capture fails, they raise an error, while the product would continue without a graph.
"""

from __future__ import annotations

import pytest
import torch

from model import torch_backend
from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.step_graph import StepGraph
from model.torch_backend import TorchBackend


def graphed_decoder(model: Checkpoint, slots: int, device: torch.device) -> Decoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_backend, "step_graph", StepGraph)
        decoder = Decoder(model, slots, str(device))
    assert decoder.kernel == "torch, CUDA graph"
    return decoder


def graphed_backend(model: Checkpoint, slots: int, device: torch.device) -> TorchBackend:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_backend, "step_graph", StepGraph)
        return TorchBackend(model.config, model.weights, slots, "fp32", device)
