"""Linear layers: each row is computed by itself, whichever rows are beside it."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from model.pytorch import linear
from model.pytorch.linear import (
    PackedLinear,
    PaddedLinear,
    PlainLinear,
    prepare,
    random_rows,
    rows_are_independent,
)

CPU = torch.device("cpu")
weight = torch.randn(24, 16)
bias = torch.randn(24)


class Fickle(PlainLinear):
    """Rounds differently if there are few rows, as the kernels of some libraries do."""

    def forward(self, x_SK: Tensor) -> Tensor:
        result: Tensor = super().forward(x_SK)
        return result * (1 + 1e-6) if len(x_SK) < 4 else result


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_what_is_prepared_computes_each_row_by_itself(rows: int) -> None:
    layer = prepare(weight, bias, "fp32", rows)
    inputs = torch.rand(rows, 16) * 2 - 1
    torch.testing.assert_close(layer(inputs), inputs @ weight.T + bias)
    assert rows_are_independent(layer, random_rows(rows, 16, CPU))


def test_a_kernel_that_changes_with_the_rows_is_found_out_and_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(linear, "PackedLinear", Fickle)
    monkeypatch.setattr(linear, "PlainLinear", Fickle)
    assert not rows_are_independent(Fickle(weight, bias), random_rows(8, 16, CPU))
    with caplog.at_level(logging.INFO, logger="charstream"):
        layer = prepare(weight, bias, "fp32", 8)
    assert isinstance(layer, PaddedLinear)
    assert "always computing 8" in caplog.text
    assert rows_are_independent(layer, random_rows(8, 16, CPU))
    inputs = torch.rand(3, 16)
    torch.testing.assert_close(layer(inputs), inputs @ weight.T + bias)


def test_without_torchs_private_operators_weights_are_not_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    layer = prepare(weight, bias, "fp32", 8)
    inputs = random_rows(8, 16, CPU)
    assert rows_are_independent(layer, inputs)
    torch.testing.assert_close(layer(inputs), inputs @ weight.T + bias)


def test_this_torch_has_the_private_operators_that_pack_weights() -> None:
    try:
        PackedLinear(weight, bias)(weight)
    except (AttributeError, RuntimeError) as error:
        pytest.fail(
            "this torch has changed the operators of oneDNN that PackedLinear in "
            f"model/pytorch/linear.py uses, so fp32 is slower: {error}"
        )


def test_a_padded_layer_runs_as_torchscript() -> None:
    layer: nn.Module = PaddedLinear(PlainLinear(weight, bias), 8)
    with pytest.warns(DeprecationWarning, match="jit"):
        script = torch.jit.script(layer)
    inputs = torch.rand(3, 16)
    assert torch.equal(script(inputs), layer(inputs))
