"""Curve: draws a run's losses and learning rate as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # matplotlib is optional
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {"training": "#7a8793", "validation": "#c0392b", "rate": "#2f6f9f"}


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_curve(records: Sequence[dict[str, Any]]) -> bytes:
    """Draw the records of metrics.jsonl as a PNG: losses above, the learning rate below."""
    content = io.BytesIO()
    make_figure(records).savefig(content, format="png", dpi=110)
    return content.getvalue()


def make_figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Make the figure that `draw_curve` draws."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    losses, rate = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    _plot_losses(losses, records)
    epochs = [record["epoch"] for record in records]
    rate.plot(epochs, [record["learning_rate"] for record in records], color=_COLORS["rate"])
    rate.set(ylabel="learning rate", xlabel="epoch")
    rate.set_ylim(bottom=0)
    for axes in (losses, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    return figure


def _plot_losses(axes: Axes, records: Sequence[dict[str, Any]]) -> None:
    epochs = [record["epoch"] for record in records]
    best = min(records, key=lambda record: float(record["validation_loss"]))
    labels = {
        "training": "training",
        "validation": f"validation, best {best['validation_loss']:.4f}",
    }
    for name, label in labels.items():
        values = [record[f"{name}_loss"] for record in records]
        axes.plot(epochs, values, "o-", color=_COLORS[name], markersize=3, label=label)
    point = (best["epoch"], best["validation_loss"])
    axes.plot(*point, "o", color=_COLORS["validation"], markersize=8, fillstyle="none")
    axes.set_ylabel("nats per character")
    axes.margins(y=0.12)
    axes.legend(frameon=False)
