"""Progress: the display on the terminal during a run or an evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from training.console import is_terminal, printable
from training.events import Update, Validation

Point = tuple[int, float]  # updates so far, validation loss

_SMOOTHING = 0.02  # weight of the newest loss in the average that the bar shows
_MIN_POINTS = 2
_MIN_SHARE = 0.1  # of the updates, before which a forecast would be a guess


class ProgressDisplay:
    """A progress bar with losses, speed and time left, and a line and a sample per validation."""

    def __init__(
        self,
        console: Console,
        first_step: int,
        total_steps: int,
        records: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._console = console
        self._points = [(record["step"], record["validation_loss"]) for record in records]
        self._loss: float | None = None
        self._validation = "-"
        self._characters, self._started = 0, time.monotonic()
        self._first_step, self._total_steps = first_step, total_steps
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            BarColumn(),
            TextColumn("train {task.fields[loss]}"),
            TextColumn("val {task.fields[validation]}"),
            TextColumn("{task.fields[speed]} char/s"),
            TextColumn("left {task.fields[left]}"),
            console=console,
            disable=first_step >= total_steps,
        )
        self._task: TaskID = self._bar.add_task(
            "", total=total_steps, completed=first_step, epoch=0.0, loss="-",
            validation="-", speed="-", left="-",
        )  # fmt: skip

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, update: Update) -> None:
        """Advance the bar."""
        last = update.loss if self._loss is None else self._loss
        self._loss = last + _SMOOTHING * (update.loss - last)
        self._characters += update.characters
        seconds = time.monotonic() - self._started
        done = update.step - self._first_step
        self._total_steps = update.total_steps
        left = update.seconds_left
        if left is None:
            left = seconds / done * (update.total_steps - update.step)
        self._bar.update(
            self._task,
            total=update.total_steps,
            completed=update.step,
            epoch=update.epoch,
            loss=f"{self._loss:.3f}",
            validation=self._validation,
            speed=f"{self._characters / seconds:,.0f}",
            left=_clock(left),
        )

    def validated(self, validation: Validation, sample: str) -> None:
        """Print the result of a validation and a sample of generated text."""
        loss = validation.validation_loss
        self._points.append((validation.step, validation.validation_loss))
        expected = forecast(self._points, self._total_steps)
        end = "" if expected is None else f", end about {expected:.2f}"
        self._validation = f"{loss:.3f}{end}"
        self._bar.update(self._task, validation=self._validation)
        mark = "  best so far" if validation.best else ""
        self._console.print(
            f"update {validation.step:,}  epoch {validation.epoch:.2f}  "
            f"train {validation.training_loss:.4f}  validation {loss:.4f}{mark}",
            highlight=False,
        )
        self._console.print(Panel(Text(printable(sample)), title="sample", title_align="left"))


@contextmanager
def evaluation_progress(
    characters: int, title: str = "Evaluating"
) -> Iterator[Callable[[int], None]]:
    """Show the progress of reading a text on stderr, if that is a terminal.

    Yields a function to call with the number of characters read so far.
    """
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not is_terminal(sys.stderr)) as bar:
        task = bar.add_task(title, total=characters)
        yield lambda done: bar.update(task, completed=done)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def forecast(points: Sequence[Point], total_steps: int) -> float | None:
    """Return the expected lowest validation loss of a run, or None if it is too early to tell.

    Fits loss = a + b / updates to the later half of the validations, by least squares. This ignores
    that a falling learning rate lowers the loss more, and that a small text is overfitted in the
    end. Both are within a few hundredths in the runs that it was tried on.

    Args:
        points: the validations so far, in order.
        total_steps: updates of the whole run.
    """
    if len(points) < _MIN_POINTS or points[-1][0] < _MIN_SHARE * total_steps:
        return None
    later = points[min(len(points) // 2, len(points) - _MIN_POINTS) :]
    steps, losses = np.array(later, dtype=float).T
    slope, limit = np.polyfit(1 / steps, losses, 1)
    best = min(loss for _, loss in points)
    return float(min(best, limit + slope / total_steps))
