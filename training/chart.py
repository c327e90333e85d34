"""Chart: lines in a coordinate system, as SVG that takes its colors from the page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
_RIGHT, _TOP, _BOTTOM = 36, 30, 40  # margins
_TICKS = 5  # about so many on each axis
_DIGIT = 7.5  # width of a character in a label, at most
_GAP = 6  # between the labels and the axis
_LEFT = 60  # margin, if the labels are not longer: charts below each other are aligned

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a chart. Its name is also its CSS class."""

    name: str
    points: Sequence[Point]


def chart(
    lines: Sequence[Line],
    y_label: str,
    height: int,
    from_zero: bool = False,
    ceiling: float = math.inf,
) -> str:
    """Return an SVG element with the lines, two axes and their labels.

    Args:
        lines: at least one line with at least one point, by epoch. All values must be finite.
        y_label: what the vertical axis shows, with its unit.
        height: height of the picture in CSS pixels. Its width is 720, or that of the page.
        from_zero: whether the vertical axis begins at 0.
        ceiling: higher values are drawn at this one.
    """
    plane = _Plane([point for line in lines for point in line.points], height, from_zero, ceiling)
    parts = [*plane.axes(), *(plane.line(line) for line in lines)]
    label = escape(f"{y_label} by epoch: {', '.join(line.name for line in lines)}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">\n'
        + "\n".join(parts)
        + f'\n<text x="{(plane.left + WIDTH - _RIGHT) / 2}" y="{height - 6}" '
        'text-anchor="middle">epoch</text>'
        f'\n<text x="0" y="14">{escape(y_label)}</text>\n</svg>'
    )


class _Plane:
    def __init__(
        self, points: Sequence[Point], height: int, from_zero: bool, ceiling: float
    ) -> None:
        self._height, self._ceiling = height, ceiling
        self._x = _ticks([x for x, _ in points] + [0.0])
        self._y = _ticks([min(y, ceiling) for _, y in points] + [0.0] * from_zero)
        self.left = max(_LEFT, _GAP + _DIGIT * max(len(_label(y)) for y in self._y))

    def axes(self) -> list[str]:
        bottom, right = self._height - _BOTTOM, WIDTH - _RIGHT
        horizontal = [
            f'<path class="grid" d="M{self.left} {self._at_y(y)}H{right}"/>'
            f'<text class="tick" x="{self.left - _GAP}" y="{self._at_y(y) + 4}" '
            f'text-anchor="end">{_label(y)}</text>'
            for y in self._y
        ]
        vertical = [
            f'<text class="tick" x="{self._at_x(x)}" y="{bottom + 16}" '
            f'text-anchor="middle">{_label(x)}</text>'
            for x in self._x
        ]
        return horizontal + vertical

    def line(self, line: Line) -> str:
        places = [f"{self._at_x(x)} {self._at_y(y)}" for x, y in line.points]
        name = escape(line.name)
        dots = "".join(
            f'<circle cx="{self._at_x(x)}" cy="{self._at_y(y)}" r="2.5"><title>{name}: {y:.4g}'
            "</title></circle>"
            for x, y in line.points
        )
        return f'<g class="{name}"><path class="line" d="M{"L".join(places)}"/>{dots}</g>'

    def _at_x(self, x: float) -> float:
        return _between(x, self._x, self.left, WIDTH - _RIGHT)

    def _at_y(self, y: float) -> float:
        return _between(min(y, self._ceiling), self._y, self._height - _BOTTOM, _TOP)


def _label(value: float) -> str:
    return f"{value:,.6g}"


def _between(value: float, ticks: Sequence[float], first: float, last: float) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return round(first + share * (last - first), 1)


def _ticks(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    rough = (high - low) / _TICKS or abs(high) / _TICKS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    distance = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / distance), math.ceil(high / distance)
    return [number * distance for number in range(first, max(last, first + 1) + 1)]
