"""The choice of the precision to train in."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from model.errors import DeviceError
from training import precision
from training.precision import choose_training_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("gain", "chosen"), [(3.0, "bf16"), (0.5, "fp32")])
def test_by_itself_it_takes_the_faster_one(
    monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str
) -> None:
    seconds = {"fp32": gain, "bf16": 1.0}
    monkeypatch.setattr(precision, "_seconds", lambda layer, values, name: seconds[name])
    assert choose_training_precision("auto", CPU) == chosen
    assert choose_training_precision("bf16", CPU) == "bf16"
    assert choose_training_precision("fp32", CPU) == "fp32"


@pytest.mark.parametrize("disturbed", ["fp32", "bf16"])
def test_other_programs_may_disturb_most_of_the_measurements(
    monkeypatch: pytest.MonkeyPatch, disturbed: str
) -> None:
    """As one that takes both cores for some milliseconds, again and again, while one is timed."""
    measured = Counter[str]()

    def seconds(layer: nn.LSTM, values: torch.Tensor, name: str) -> float:
        measured[name] += 1
        factor = 10 if name == disturbed and measured[name] % 10 else 1
        return factor * {"fp32": 2.0, "bf16": 1.0}[name]

    monkeypatch.setattr(precision, "_seconds", seconds)
    assert choose_training_precision("auto", CPU) == "bf16"


def test_where_bfloat16_fails_float32_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(layer: nn.LSTM, values: torch.Tensor, name: str) -> float:
        if name == "bf16":
            raise RuntimeError("could not create a primitive")
        return 1.0

    monkeypatch.setattr(precision, "_seconds", fail)
    assert choose_training_precision("auto", CPU) == "fp32"
    with pytest.raises(DeviceError, match="'bf16' does not run on cpu: could not create"):
        choose_training_precision("bf16", CPU)
