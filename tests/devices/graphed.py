"""Decoders and backends that step with `StepGraph`: captured on a GPU, without a graph elsewhere.

If the capture fails, they raise an error, while the product would continue without a graph.
"""

from __future__ import annotations

import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint
from model.decoding.decoder import Decoder
from model.pytorch import backend as torch_backend
from model.pytorch.backend import TorchBackend
from model.pytorch.step_graph import StepGraph


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
