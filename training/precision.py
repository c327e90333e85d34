"""Precision of training: float32, or bfloat16 products where the machine gains by them."""

from __future__ import annotations

import time
import warnings
from typing import Literal

import torch
from torch import nn

from model.errors import DeviceError

TrainingPrecision = Literal["fp32", "bf16"]

_WORTHWHILE = 1.2  # bfloat16 must be that many times as fast
_PROBES = 4


def choose_training_precision(name: str, device: torch.device) -> TrainingPrecision:
    """The precision of a name: "auto" is bf16 where that is the faster one, else fp32.

    Raises:
        DeviceError: if the name is none, or bf16 was asked for and does not run on the device.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise DeviceError(f"precision must be auto, fp32 or bf16, got {name!r}")
    if name == "fp32":
        return "fp32"
    try:
        gain = _seconds(device, "fp32") / _seconds(device, "bf16")
    except RuntimeError as error:  # some processors have no bfloat16 LSTM
        if name == "bf16":
            reason = str(error).splitlines()[0]
            raise DeviceError(f"precision 'bf16' does not run on {device}: {reason}") from error
        return "fp32"
    return "bf16" if name == "bf16" or gain >= _WORTHWHILE else "fp32"


def autocast(precision: TrainingPrecision, device: torch.device) -> torch.autocast:
    """A context in which matrix products are done in the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _seconds(device: torch.device, precision: TrainingPrecision) -> float:
    """The least time of a few small updates."""
    layer = nn.LSTM(256, 256).to(device)
    values = torch.zeros(16, 32, 256, device=device)
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a GPU that has its own opinion of bfloat16
        for _ in range(_PROBES):
            started = time.perf_counter()
            with autocast(precision, device):
                loss = layer(values)[0].float().sum()
            loss.backward()
            loss.item()  # waits for a GPU
            times.append(time.perf_counter() - started)
    return min(times)
