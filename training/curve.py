"""Curve: a run's losses and learning rate as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

_TRAINING, _VALIDATION, _RATE = "#7a8793", "#c0392b", "#2f6f9f"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_curve(records: Sequence[dict[str, Any]]) -> bytes:
    """A PNG of the records of metrics.jsonl: losses above, the learning rate below."""
    from matplotlib.figure import Figure

    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    losses, rate = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    for name, color in (("training", _TRAINING), ("validation", _VALIDATION)):
        values = [record[f"{name}_loss"] for record in records]
        losses.plot(epochs, values, "o-", color=color, markersize=3, label=name)
    best = min(records, key=lambda record: float(record["validation_loss"]))
    losses.annotate(
        f"best {best['validation_loss']:.4f}",
        (best["epoch"], best["validation_loss"]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="right",
        color=_VALIDATION,
    )
    losses.set_ylabel("nats per character")
    losses.margins(y=0.12)
    losses.legend(frameon=False)
    rate.plot(epochs, [record["learning_rate"] for record in records], color=_RATE)
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    for axes in (losses, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
