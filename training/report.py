"""Report: a page that shows a training run, and a picture of its losses to show elsewhere.

The page is one HTML file that loads nothing else. The picture is an SVG file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from training.chart import WIDTH, Line, chart
from training.console import counted, printable
from training.overfitting import best_of

Record = Mapping[str, Any]

_LOSSES = ("training", "validation")
_LOSSES_HEIGHT, _RATE_HEIGHT = 320, 160  # of the charts, in CSS pixels
_CEILING = 10.0  # nats; the loss of random guesses among 22,000 characters

# Colors and charts, of the page and of the picture.
_CHART_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5d6b78; --line: #d5dbe0; --page: #fff;
  --training: #66757f; --validation: #b3261e; --rate: #1f6391; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ed; --soft: #a3afb9; --line: #3a444d;
  --page: #14191e; --training: #a3afb9; --validation: #ff8a80; --rate: #82c0ea; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --page: #fff;
  --training: #555; --validation: #b3261e; --rate: #1f6391; } }
svg text { fill: var(--soft); font-size: 12px; }
svg tspan { fill: currentColor; }
svg .grid { stroke: var(--line); }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.5; }
svg circle { fill: currentColor; }
.training { color: var(--training); } .validation { color: var(--validation); }
.rate { color: var(--rate); }
""".strip()

_PAGE_STYLE = """
@media print { figure, tr { break-inside: avoid; } }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; }
th, td { padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; font-weight: normal;
  overflow-wrap: anywhere; }
th, figcaption { color: var(--soft); }
.chart { overflow-x: auto; }
svg { width: 100%; min-width: 32rem; }
.key span::before { content: ""; display: inline-block; width: 1.2em; height: 0; margin: 0 0.4em;
  border-top: 2px solid currentColor; vertical-align: middle; }
figure { margin: 1.5rem 0; }
pre { margin: 0.3rem 0; padding: 0.7rem 1rem; border: 1px solid var(--line); border-radius: 0.3rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
""".strip()

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{chart_style}
{page_style}
</style>
</head>
<body>
<h1>{title}</h1>
{summary}
<h2>Serve it</h2>
<pre>{command}</pre>
<h2>Loss</h2>
{curves}
<h2>Samples</h2>
{samples}
<h2>Settings</h2>
<p>These are the flags of <code>train</code>, with the values that this run has used.</p>
{settings}
</body>
</html>
"""


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        source: name of the text.
        command: command that serves the model.
        summary: short facts about the run, by name.
        settings: settings of the network and of the run, by the names of their flags.
        records: records of the validations, in order, as in metrics.jsonl. At least one.
        samples: generated texts by the number of updates after which they were generated.
    """

    source: str
    command: str
    summary: Mapping[str, object]
    settings: Mapping[str, object]
    records: Sequence[Record]
    samples: Mapping[int, str]


def render(report: Report) -> str:
    """Return the page as HTML. Every text in it is escaped."""
    return _PAGE.format(
        chart_style=_CHART_STYLE,
        page_style=_PAGE_STYLE,
        title=_text(f"Training on {report.source}"),
        summary=_table(report.summary),
        command=_text(report.command),
        curves=_curves(report.records),
        samples="\n".join(_samples(report)),
        settings=_table(report.settings),
    )


def render_curves(records: Sequence[Record]) -> str:
    """Return an SVG file with the losses and the learning rate below them."""
    losses, rate = _charts(records)
    best = min(float(record["validation_loss"]) for record in records)
    height = _LOSSES_HEIGHT + _RATE_HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif">\n<style>\n{_CHART_STYLE}\n</style>\n'
        '<rect width="100%" height="100%" fill="var(--page)"/>\n'
        f'<svg height="{_LOSSES_HEIGHT}">{losses}</svg>\n'
        f'<text x="{WIDTH - 36}" y="14" text-anchor="end"><tspan class="training">training</tspan> '
        f'&#160; <tspan class="validation">validation, best {best:.4f}</tspan></text>\n'
        f'<svg y="{_LOSSES_HEIGHT}" height="{_RATE_HEIGHT}">{rate}</svg>\n</svg>\n'
    )


def _curves(records: Sequence[Record]) -> str:
    key = "".join(f'<span class="{name}">{name} loss</span> ' for name in _LOSSES)
    ceiling = _ceiling(records)
    if any(float(record[f"{name}_loss"]) > ceiling for record in records for name in _LOSSES):
        key += f"(losses above {ceiling:.4g} are drawn at {ceiling:.4g})"
    charts = (f'<div class="chart">{svg}</div>' for svg in _charts(records))
    return "\n".join([f'<p class="key">{key}</p>', *charts])


def _charts(records: Sequence[Record]) -> tuple[str, str]:
    losses = [Line(name, _points(records, f"{name}_loss")) for name in _LOSSES]
    rate = [Line("rate", _points(records, "learning_rate"))]
    return (
        chart(losses, "nats per character", _LOSSES_HEIGHT, ceiling=_ceiling(records)),
        chart(rate, "learning rate", _RATE_HEIGHT, from_zero=True),
    )


def _ceiling(records: Sequence[Record]) -> float:
    return max(_CEILING, 2 * min(float(record["validation_loss"]) for record in records))


def _points(records: Sequence[Record], name: str) -> list[tuple[float, float]]:
    return [(float(record["epoch"]), float(record[name])) for record in records]


def _samples(report: Report) -> list[str]:
    losses = {record["step"]: float(record["validation_loss"]) for record in report.records}
    served = best_of(report.records)["step"]
    steps = sorted(losses.keys() & report.samples.keys(), reverse=True)
    return [
        f"<figure><figcaption>{'the model that you serve, ' if step == served else ''}"
        f"after {counted(step, 'update')}, validation loss {losses[step]:.4f} "
        f"({losses[step] / math.log(2):.3f} bits)</figcaption>"
        f"<pre>{_text(report.samples[step])}</pre></figure>"
        for step in sorted(steps, key=lambda step: step != served)
    ]


def _table(rows: Mapping[str, object]) -> str:
    cells = "\n".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>\n{cells}\n</table>"


def _text(text: str) -> str:
    return escape(printable(text))
