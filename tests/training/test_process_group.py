"""The processes of torchrun: what they say when one of them is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from model.errors import TrainingError
from training.process_group import NO_FLAGS, ProcessGroup

CPU = torch.device("cpu")


def test_a_process_that_has_ended_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Connection closed by peer\nstack")

    for name in ("all_reduce", "all_gather", "broadcast"):
        monkeypatch.setattr(dist, name, fail)
    group = ProcessGroup(rank=1, size=2, joined=True)
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.zeros(3)
    calls: list[Callable[[], object]] = [
        lambda: group.mean(1.0, CPU),
        lambda: group.from_main([1], CPU),
        lambda: group.all_gather(torch.zeros(2, 2, 2)),
        lambda: group.reduce([parameter], [1.0], NO_FLAGS),
    ]
    for call in calls:
        with pytest.raises(TrainingError, match="cannot communicate: Connection closed by peer"):
            call()
