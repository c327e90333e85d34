"""Precision of training: float32, or bfloat16 matrix products where they are faster."""

from __future__ import annotations

import time
import warnings

import torch
from torch import nn

from model.errors import DeviceError
from model.pytorch.lstm_layer import lstm_layer
from training.config import TrainingPrecision

_MIN_SPEEDUP = 1.2  # for "auto" to choose bfloat16
_MIN_PROBES = 4
_PROBING_SECONDS = 0.5  # other programs may disturb most probes of a shorter time
_SIZE = 256  # of the layer that is timed


def choose_training_precision(name: str, device: torch.device) -> TrainingPrecision:
    """Return the precision for a name. "auto" times both and takes bf16 if it is faster.

    Raises:
        DeviceError: if the name is unknown, or bf16 is requested but not supported by the device.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise DeviceError(f"precision must be auto, fp32 or bf16, got {name!r}")
    if name == "fp32":
        return "fp32"
    try:
        speedup = _speedup(device)
    except RuntimeError as error:  # some processors have no bfloat16 LSTM
        if name == "bf16":
            reason = str(error).splitlines()[0]
            raise DeviceError(f"precision 'bf16' does not run on {device}: {reason}") from error
        return "fp32"
    return "bf16" if name == "bf16" or speedup >= _MIN_SPEEDUP else "fp32"


def autocast(precision: TrainingPrecision, device: torch.device) -> torch.autocast:
    """Return a context manager in which matrix products are computed in the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _speedup(device: torch.device) -> float:
    layer = nn.LSTM(_SIZE, _SIZE).to(device)
    values = torch.zeros(16, 32, _SIZE, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some GPUs warn that they emulate bfloat16
        end = time.perf_counter() + _PROBING_SECONDS
        fp32: list[float] = []
        bf16: list[float] = []
        while len(bf16) < _MIN_PROBES or time.perf_counter() < end:
            fp32.append(_seconds(layer, values, "fp32"))
            bf16.append(_seconds(layer, values, "bf16"))
    return min(fp32) / min(bf16)


def _seconds(layer: nn.LSTM, values: torch.Tensor, precision: TrainingPrecision) -> float:
    state = values.new_zeros(1, values.size(1), _SIZE)
    started = time.perf_counter()
    with autocast(precision, values.device):
        loss = lstm_layer(values, (state, state), layer.all_weights[0])[0].float().sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
    loss.item()  # waits for a GPU
    return time.perf_counter() - started
