"""What a run says about memorizing its text."""

from __future__ import annotations

import pytest

from training.overfitting import best_of, describe_overfitting


def records(*losses: float) -> list[dict[str, float]]:
    return [
        {"step": 10 * number, "epoch": number / 2, "validation_loss": loss}
        for number, loss in enumerate(losses, 1)
    ]


def test_a_loss_that_rose_is_explained_with_its_lowest_epoch_and_what_helps() -> None:
    overfitted = records(3.0, 1.574, 1.6, 1.983)
    assert best_of(overfitted)["step"] == 20
    message = describe_overfitting(overfitted)
    assert message is not None
    assert message.startswith("Lowest at epoch 1.0 of 2.0. Then the loss rose to 1.9830")
    assert "More text does" in message


@pytest.mark.parametrize("losses", [(), (3.0,), (3.0, 1.5), (3.0, 1.5, 1.505)])
def test_a_loss_that_ends_near_its_lowest_value_is_not(losses: tuple[float, ...]) -> None:
    assert describe_overfitting(records(*losses)) is None
