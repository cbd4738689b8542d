"""Score against expected time reduction: trade-off (Fig. 1 and 4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mue_cli.reports import curves
from mue_cli.reports.curves import METHOD_NAMES, UPPER_BOUND, Curve, CurvePoint, Search, drawable, is_paper_data, pareto_front
from mue_cli.reports.entries import Entry
from mue_cli.reports.figures import canvas
from mue_cli.reports.figures.canvas import GREY, STYLE, Label, figure_with_caption, label_points, save
from mue_cli.reports.published import FULL_MODEL, published_full_score, published_points
from mue_cli.reports.tradeoff_caption import tradeoff_caption

_ROWS = {
    "full": (canvas.BLACK, "*"),
    "small": ("#555555", "P"),
    "static": (canvas.SKY, "p"),
    "deebert": (canvas.BLUE, "s"),
    "pabee": (canvas.GREEN, "^"),
    "deecap": (canvas.ORANGE, "v"),
    "calm": (canvas.PURPLE, "D"),
    "mue": (canvas.VERMILLION, "o"),
    UPPER_BOUND: (canvas.BLACK, ""),
}
_EXPECTED = "expected time reduction, Eq. 14 (%)"
_WIDTH, _WIDTH_OF_ONE, _HEIGHT, _RATIOS = 8.2, 5.2, 4.0, (1.3, 1.0)
_BELOW = 0.45
"""How far below the lowest setting that was chosen or published curves are still shown, as a share of what lies above it."""


class _Look(NamedTuple):
    """marker: "" for a row whose settings are not marked."""

    name: str
    colour: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Return how a line is drawn."""
        return {"linestyle": "-", "linewidth": 1.4} if self.marker else {"linestyle": (0, (5, 3)), "linewidth": 0.9}


def tradeoff(entries: Sequence[Entry], path_stem: Path, searches: Sequence[Search] = ()) -> tuple[Path, Path]:
    """Draw score against expected time reduction (Fig. 1 and 4); return the paths of the PNG and the SVG.

    Every row has its curve, rows that only a table compares (`LEFT_OUT`) excepted. On the paper's own data scores are absolute; elsewhere
    they are relative to the full model, ours of the same seed and the paper's to its own. searches: dots and their Pareto front. A second
    panel sets FLOPs and measured time against the expectation, where records have them. Raises as `drawable`.
    """
    return save(tradeoff_figure(entries, searches), path_stem)


@matplotlib.rc_context(STYLE)
def tradeoff_figure(entries: Sequence[Entry], searches: Sequence[Search] = ()) -> Figure:
    """Return Fig. 1/4 unsaved; arguments as in `tradeoff`."""
    drawn = drawable(entries)
    scores = _Scores(drawn, searches)
    compared = [entry for entry in drawn if entry.row not in ("full", UPPER_BOUND)]  # nobody can run an oracle
    found = {name: curves.curves(compared, curves.cost(name)) for name in ("flops", "measured")}
    costs = any(found.values())
    caption = tradeoff_caption(drawn, searches, scores.floor)
    if costs:
        figure, panels = figure_with_caption(2, caption, _WIDTH, _HEIGHT, ratios=_RATIOS)
    else:
        figure, panels = figure_with_caption(1, caption, _WIDTH_OF_ONE, _HEIGHT)
    scores.draw(panels[0])
    if costs:
        _draw_costs(panels[1], found["flops"], found["measured"])
    return figure


class _Scores:
    """The first panel: our curves, the search's dots, the paper's points."""

    def __init__(self, entries: Sequence[Entry], searches: Sequence[Search]) -> None:
        record = entries[0].record
        self.curves, self.searches, self.metric = curves.curves(entries, curves.score), searches, record.metric
        self.intervals = curves.intervals(entries)
        self.absolute = is_paper_data(record)
        scale = 1.0 if self.absolute else 100.0 / published_full_score(record.task)
        points = [point for point in published_points(record.task) if self.absolute or point.model != FULL_MODEL]
        self.published = [(point, 100.0 * point.reduction, scale * point.score) for point in points]

    @property
    def floor(self) -> float | None:
        """The score below which nothing is shown; None where nothing is so low.

        Curves fall to nothing in the end, and would press everything that matters into the top of the figure.
        """
        chosen = [y for curve in self.curves for y in _lows(curve.calibrated)] + [y for _, _, y in self.published]
        swept = [y for curve in self.curves for y in _lows(curve.swept)]
        swept += [self._scale(search) * y for search in self.searches for _, y in search.points]
        if not chosen or not swept:
            return None
        floor = min(chosen) - _BELOW * (max(chosen) - min(chosen))
        return floor if min(swept) < floor < max(chosen) else None

    def _scale(self, search: Search) -> float:
        return 1.0 if self.absolute else 100.0 / search.full_score

    def draw(self, axes: Axes) -> None:
        for search in self.searches:
            _draw_search(axes, search, self._scale(search))
        for curve in self.curves:
            _draw_curve(axes, curve)
            for interval in self.intervals.get(curve.row, ()):
                _draw_bars(axes, interval, _look(curve.row).colour)
        if not self.absolute:
            axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
        labels = [_label(curve, self.floor) for curve in self.curves] + [self._draw_published(axes, *point) for point in self.published]
        unit = "%" if self.metric == "accuracy" else "x 100"
        axes.set(xlabel=_EXPECTED, ylabel=f"{self.metric} ({unit})" if self.absolute else f"{self.metric} (% of the full model's)")
        self._set_limits(axes)
        label_points(axes, labels)

    def _set_limits(self, axes: Axes) -> None:
        axes.margins(x=0.08, y=0.1)
        floor = self.floor
        if floor is None:
            return
        right = [point.x.high for curve in self.curves for point in curve.calibrated] + [x for _, x, _ in self.published]
        right += [_end(*_means(curve.line), floor)[0] for curve in self.curves]
        right += [100.0 * x for search in self.searches for x, y in search.points if self._scale(search) * y >= floor]
        axes.set(ylim=(floor, axes.dataLim.y1 + 0.12 * (axes.dataLim.y1 - floor)), xlim=(-0.06 * max(right), 1.1 * max(right)))

    def _draw_published(self, axes: Axes, point: Any, x: float, y: float) -> Label:
        look = _look(point.method or "small")
        _mark(axes, [x], [y], look, hollow=True, label=f"{point.model} (paper)")
        return Label(x, y, f"{point.model} (paper)", look.colour)


def _lows(points: Sequence[CurvePoint]) -> list[float]:
    return [point.y.low for point in points]


def _draw_search(axes: Axes, search: Search, scale: float) -> None:
    name, colour, _ = _look(search.method)
    for points, style, part in ((search.points, ".", "tried"), (pareto_front(search.points), "-", "front")):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        axes.plot(
            100.0 * x, scale * y, style, color=colour, alpha=0.5, markersize=6, markeredgewidth=0, linewidth=0.9, label=f"{name} {part}"
        )


def _draw_curve(axes: Axes, curve: Curve) -> None:
    """Draw a row's line with its band, small markers on it, and the calibrated setting as a large one with bars both ways."""
    look = _look(curve.row)
    x, y = _means(curve.line)
    if len(x) > 1:
        axes.plot(x, y, color=look.colour, zorder=3, label=f"{look.name} line", **look.line)
        axes.fill_between(x, _lows(curve.line), [p.y.high for p in curve.line], color=look.colour, alpha=0.13, linewidth=0, zorder=1)
    if curve.swept and look.marker:
        axes.plot(x, y, look.marker, color=look.colour, markersize=4, markeredgewidth=0, zorder=3.5, label=f"{look.name} swept")
    if look.marker:
        _draw_calibrated(axes, curve, look, hollow=False, label=look.name)


def _draw_calibrated(axes: Axes, curve: Curve, look: _Look, hollow: bool, label: str) -> None:
    for point in curve.calibrated:
        _draw_bars(axes, point, look.colour)
    if curve.calibrated:
        _mark(axes, *_means(curve.calibrated), look, hollow, label)


def _draw_bars(axes: Axes, point: CurvePoint, colour: str) -> None:
    if point.x.high > point.x.low:
        axes.plot([point.x.low, point.x.high], [point.y.mean] * 2, "-", marker="|", color=colour, linewidth=1, markersize=5, zorder=3.8)
    if point.y.high > point.y.low:
        axes.plot([point.x.mean] * 2, [point.y.low, point.y.high], "-", marker="_", color=colour, linewidth=1, markersize=5, zorder=3.8)


def _means(points: Sequence[CurvePoint]) -> tuple[list[float], list[float]]:
    return [point.x.mean for point in points], [point.y.mean for point in points]


def _label(curve: Curve, floor: float | None = None) -> Label:
    """Return a row's name at its calibrated setting; where none is marked, where its line ends or leaves the figure."""
    look = _look(curve.row)
    if look.marker and curve.calibrated:
        at = curve.calibrated[-1]
        return Label(at.x.mean, at.y.mean, look.name, look.colour)
    return Label(*_end(*_means(curve.line), floor), look.name, look.colour)


def _end(x: Sequence[float], y: Sequence[float], floor: float | None) -> tuple[float, float]:
    """Return the last point of a line, or where it falls below the floor."""
    for i in range(1, len(y)):
        if floor is not None and y[i] < floor <= y[i - 1]:
            return float(np.interp(-floor, (-y[i - 1], -y[i]), x[i - 1 : i + 1])), floor
    return x[-1], y[-1]


def _draw_costs(axes: Axes, flops: Sequence[Curve], measured: Sequence[Curve]) -> None:
    """Draw what the expectation became in FLOPs and on the clock."""
    labels = {}
    for quantity, found in (("flops", flops), ("measured", measured)):
        for curve in found:
            look = _look(curve.row)
            x, y = _means(curve.line)
            if quantity == "flops" and len(x) > 1:
                axes.plot(x, y, color=look.colour, alpha=0.7, zorder=2, label=f"{look.name} {quantity} line", **look.line)
            _draw_calibrated(axes, curve, look, hollow=quantity == "measured", label=f"{look.name} {quantity}")
            labels[curve.row] = _label(curve)
    _join(axes, flops, measured)
    low, high = min(0.0, 1.15 * axes.dataLim.y0), 1.12 * max(axes.dataLim.x1, axes.dataLim.y1, 1.0)
    axes.plot([0, high], [0, high], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel=_EXPECTED, ylabel="reduction that was found (%)", xlim=(0, high), ylim=(low - 0.04 * high, high))
    key = [
        _key("FLOPs", marker="o", linestyle="-"),
        _key("measured time", marker="o", markerfacecolor="white"),
        _key("as expected", linestyle=":"),
    ]
    axes.legend(handles=key, loc="best")
    label_points(axes, list(labels.values()))


def _join(axes: Axes, flops: Sequence[Curve], measured: Sequence[Curve]) -> None:
    """Draw a thin line from each setting's FLOPs to its time."""
    timed = {curve.row: curve.calibrated for curve in measured}
    for curve in flops:
        for one, other in zip(curve.calibrated, timed.get(curve.row, ()), strict=False):
            axes.plot([one.x.mean, other.x.mean], [one.y.mean, other.y.mean], "-", color=_look(curve.row).colour, linewidth=0.7, zorder=2)


def _mark(axes: Axes, x: Sequence[float], y: Sequence[float], look: _Look, hollow: bool, label: str) -> None:
    size = {"*": 12.0, "P": 8.5, "p": 8.5}.get(look.marker, 7.5)
    face = "white" if hollow else look.colour
    axes.plot(x, y, look.marker, color=look.colour, markersize=size, markerfacecolor=face, markeredgewidth=1.2, zorder=4, label=label)


def _key(label: str, **look: Any) -> Line2D:
    return Line2D([], [], color=GREY, label=label, markersize=6, **{"linestyle": "", **look})


def _look(row: str) -> _Look:
    return _Look(METHOD_NAMES.get(row, row), *_ROWS.get(row, (GREY, "X")))
