"""How a row of the tables looks in a figure: its colour and marker, its curve, its name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from mue_cli.exits.catalogue import CATALOGUE, ORACLE
from mue_cli.reports.curves import Curve, CurvePoint
from mue_cli.reports.entries import row_title
from mue_cli.reports.figures import canvas
from mue_cli.reports.figures.canvas import GREY, Label

_PALETTE = (
    (canvas.BLACK, "*"),
    (canvas.SKY, "p"),
    (canvas.VERMILLION, "o"),
    (canvas.BLUE, "s"),
    (canvas.GREEN, "^"),
    (canvas.ORANGE, "v"),
    (canvas.PURPLE, "D"),
    (canvas.YELLOW, "<"),
    ("#882255", ">"),
    ("#999933", "h"),
)
"""Colours and markers of the catalogue's methods, in its order."""
_LOOKS = {
    **dict(zip(CATALOGUE, _PALETTE, strict=False)),
    "small": ("#555555", "P"),
    ORACLE: (canvas.BLACK, ""),
}


_MARKS = 7
"""How many small markers a line of means has."""


class Look(NamedTuple):
    """marker: "" for a row that is a line alone."""

    name: str
    colour: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Return how a line is drawn."""
        return (
            {"linestyle": "-", "linewidth": 1.4}
            if self.marker
            else {"linestyle": (0, (5, 3)), "linewidth": 0.9}
        )


def look_of(row: str) -> Look:
    """Return how a row looks; one that nobody has thought of is grey."""
    return Look(row_title(row), *_LOOKS.get(row, (GREY, "X")))


def draw_curve(axes: Axes, curve: Curve) -> None:
    """Draw a row's line with its band, or points small where seeds share no line, and the
    calibrated setting large with bars both ways.
    """
    look = look_of(curve.row)
    if not look.marker:
        _draw_across(axes, curve.calibrated, look)
        return
    x, y = means(curve.line)
    if len(x) > 1:
        marks = _marks_along(look, len(x)) if len(curve.points) != len(x) else {}
        line = {"color": look.colour, "zorder": 3, **look.line, **marks}
        axes.plot(x, y, label=f"{look.name} line", **line)
        axes.fill_between(
            x,
            lows(curve.line),
            [p.y.high for p in curve.line],
            color=look.colour,
            alpha=0.10,
            linewidth=0,
            zorder=1,
        )
    if curve.points and (len(x) < 2 or len(curve.points) == len(x)):  # else the band tells of them
        small: dict[str, Any] = {"markersize": 4.0, "markeredgewidth": 0, "zorder": 3.5}
        label = f"{look.name} swept"
        axes.plot(*np.transpose(curve.points), look.marker, color=look.colour, label=label, **small)
    draw_calibrated(axes, curve, look, hollow=False, label=look.name)


def _marks_along(look: Look, num_points: int) -> dict[str, Any]:
    """Return small markers along a line of means, which tell lines apart without colours."""
    step = max(num_points // _MARKS, 1)
    small = {"markersize": 4.0, "markeredgewidth": 0}
    return {"marker": look.marker, "markevery": (step // 2, step), **small}


def _draw_across(axes: Axes, points: Sequence[CurvePoint], look: Look) -> None:
    """Draw reductions as lines across the figure, their spread as bands."""
    for point in points:
        axes.axvline(point.x.mean, color=look.colour, zorder=1.5, label=look.name, **look.line)
        axes.axvspan(
            point.x.low, point.x.high, color=look.colour, alpha=0.08, linewidth=0, zorder=1
        )


def draw_calibrated(axes: Axes, curve: Curve, look: Look, hollow: bool, label: str) -> None:
    """Draw the settings of a row that tables show."""
    for point in curve.calibrated:
        draw_bars(axes, point, look.colour)
    if curve.calibrated:
        mark(axes, *means(curve.calibrated), look, hollow, label)


def draw_bars(axes: Axes, point: CurvePoint, colour: str) -> None:
    """Draw from the lowest to the highest, both ways."""
    look: dict[str, Any] = {
        "color": colour,
        "linewidth": 1,
        "markersize": 5,
        "alpha": 0.6,
        "zorder": 3.8,
    }
    if point.x.high > point.x.low:
        axes.plot([point.x.low, point.x.high], [point.y.mean] * 2, "-", marker="|", **look)
    if point.y.high > point.y.low:
        axes.plot([point.x.mean] * 2, [point.y.low, point.y.high], "-", marker="_", **look)


def means(points: Sequence[CurvePoint]) -> tuple[list[float], list[float]]:
    """Return the x and the y of points."""
    return [point.x.mean for point in points], [point.y.mean for point in points]


def row_label(curve: Curve, floor: float | None = None) -> Label:
    """Return a row's name at its calibrated setting; else where its line ends or leaves the figure,
    or at its last point.
    """
    look = look_of(curve.row)
    if curve.calibrated:
        at = curve.calibrated[-1]
        return Label(at.x.mean, at.y.mean, look.name, look.colour)
    x, y = means(curve.line) if curve.line else np.transpose(curve.points)
    return Label(*end_of_line(x, y, floor), look.name, look.colour)


def end_of_line(x: Sequence[float], y: Sequence[float], floor: float | None) -> tuple[float, float]:
    """Return the last point of a line, or where it falls below the floor."""
    for i in range(1, len(y)):
        if floor is not None and y[i] < floor <= y[i - 1]:
            return float(np.interp(-floor, (-y[i - 1], -y[i]), x[i - 1 : i + 1])), floor
    return x[-1], y[-1]


def mark(
    axes: Axes, x: Sequence[float], y: Sequence[float], look: Look, hollow: bool, label: str
) -> None:
    """Draw large markers."""
    size = {"*": 14.5, "P": 10.0, "p": 8.5}.get(look.marker, 7.5) + (0.0 if hollow else 0.8)
    face, edge, width = ("white", look.colour, 1.2) if hollow else (look.colour, "white", 0.6)
    looks: dict[str, Any] = {
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": width,
        "markersize": size,
    }
    axes.plot(x, y, look.marker, color=look.colour, zorder=4, label=label, **looks)


def lows(points: Sequence[CurvePoint]) -> list[float]:
    """Return the lowest y of points."""
    return [point.y.low for point in points]
