"""The picture of a run's losses."""

from __future__ import annotations

import pytest

from training.curve import draw_curve, make_figure

RECORDS = [
    {
        "epoch": n / 2,
        "training_loss": 2.0 / n,
        "validation_loss": 2.1 / n,
        "learning_rate": 0.003 / n,
    }
    for n in range(1, 9)
]


def test_the_curve_is_a_picture() -> None:
    assert draw_curve(RECORDS).startswith(b"\x89PNG")


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:1], RECORDS[::-1]])
def test_the_best_loss_is_named_away_from_the_lines(
    records: list[dict[str, float]],
) -> None:
    """In the legend, which matplotlib puts where the fewest points of the lines are."""
    losses = make_figure(records).axes[0]
    best = min(record["validation_loss"] for record in records)
    legend = losses.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["training", f"validation, best {best:.4f}"]
    assert not losses.texts
