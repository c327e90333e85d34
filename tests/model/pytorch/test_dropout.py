"""Dropout: the share of zeros, the mean, and the repetition by a seed."""

from __future__ import annotations

import pytest
import torch

from model.pytorch.lstm_layer import dropout


@pytest.mark.parametrize("share", [0.1, 0.35, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_that_share_is_zero_and_the_mean_stays(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(999, 101, dtype=dtype, requires_grad=True)
    result = dropout(values, share)
    (gradient,) = torch.autograd.grad(result.sum(), values)
    zero = (result == 0).float().mean().item()
    assert zero == pytest.approx(share, abs=0.01)
    assert result.float().mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(gradient, result)  # of ones: the scaled mask itself
    assert len(set(result.flatten().tolist())) == 2


def test_neighbouring_values_are_dropped_independently() -> None:
    torch.manual_seed(0)
    zero = (dropout(torch.ones(80_000), 0.5) == 0).view(-1, 8).float()
    assert torch.corrcoef(zero.T).fill_diagonal_(0).abs().max() < 0.05


def test_a_share_of_zero_changes_nothing_and_a_seed_repeats() -> None:
    values = torch.randn(10, 10)
    assert dropout(values, 0.0) is values
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(dropout(values, 0.5))
    assert torch.equal(*masks)
