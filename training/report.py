"""Report: a page that shows a training run. It is one HTML file that loads nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from training.chart import Line, chart
from training.counted import counted
from training.printable import printable

Record = Mapping[str, Any]

_CEILING = 10.0  # nats; the loss of random guesses among 22,000 characters

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5d6b78; --line: #d5dbe0; --page: #fff;
  --training: #66757f; --validation: #b3261e; --rate: #1f6391; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ed; --soft: #a3afb9; --line: #3a444d;
  --page: #14191e; --training: #a3afb9; --validation: #ff8a80; --rate: #82c0ea; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --page: #fff;
  --training: #555; --validation: #b3261e; --rate: #1f6391; } figure, tr { break-inside: avoid; } }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; }
th, td { padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; font-weight: normal;
  overflow-wrap: anywhere; }
th, figcaption, svg text { color: var(--soft); fill: var(--soft); }
.chart { overflow-x: auto; }
svg { width: 100%; min-width: 32rem; font-size: 12px; }
svg .grid { stroke: var(--line); }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.5; }
svg circle { fill: currentColor; }
.training { color: var(--training); } .validation { color: var(--validation); }
.rate { color: var(--rate); }
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
{style}
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
        style=_STYLE,
        title=_text(f"Training on {report.source}"),
        summary=_table(report.summary),
        command=_text(report.command),
        curves=_curves(report.records),
        samples="\n".join(_samples(report)),
        settings=_table(report.settings),
    )


def _curves(records: Sequence[Record]) -> str:
    losses = [
        Line("training", _points(records, "training_loss")),
        Line("validation", _points(records, "validation_loss")),
    ]
    rate = [Line("rate", _points(records, "learning_rate"))]
    ceiling = max(_CEILING, 2 * min(loss for _, loss in losses[1].points))
    keys = "".join(f'<span class="{line.name}">{line.name} loss</span> ' for line in losses)
    if any(loss > ceiling for line in losses for _, loss in line.points):
        keys += f"(losses above {ceiling:.4g} are drawn at {ceiling:.4g})"
    return "\n".join(
        [
            f'<p class="key">{keys}</p>',
            _scrollable(chart(losses, "nats per character", height=320, ceiling=ceiling)),
            _scrollable(chart(rate, "learning rate", height=160, from_zero=True)),
        ]
    )


def _scrollable(svg: str) -> str:
    return f'<div class="chart">{svg}</div>'


def _points(records: Sequence[Record], name: str) -> list[tuple[float, float]]:
    return [(float(record["epoch"]), float(record[name])) for record in records]


def _samples(report: Report) -> list[str]:
    """Return the samples with the losses of their validations, the newest first."""
    losses = {record["step"]: float(record["validation_loss"]) for record in report.records}
    return [
        f"<figure><figcaption>after {counted(step, 'update')}, validation loss {losses[step]:.4f} "
        f"({losses[step] / math.log(2):.3f} bits)</figcaption><pre>{_text(text)}</pre></figure>"
        for step, text in sorted(report.samples.items(), reverse=True)
        if step in losses
    ]


def _table(rows: Mapping[str, object]) -> str:
    cells = "\n".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>\n{cells}\n</table>"


def _text(text: str) -> str:
    return escape(printable(text))
