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
from mue_cli.reports.curves import (
    ORACLE,
    Curve,
    Search,
    drawable,
    is_paper_data,
    pareto_front,
    seeds_without_full,
)
from mue_cli.reports.entries import Entry
from mue_cli.reports.figures.canvas import (
    GREY,
    STYLE,
    Label,
    figure_with_caption,
    label_beside,
    label_points,
    save,
)
from mue_cli.reports.figures.rows import (
    Look,
    draw_bars,
    draw_calibrated,
    draw_curve,
    end_of_line,
    look_of,
    lows,
    mark,
    means,
    row_label,
)
from mue_cli.reports.published import FULL_MODEL, published_full_score, published_points
from mue_cli.reports.tradeoff_caption import tradeoff_caption

_EXPECTED = "expected time reduction, Eq. 14 (%)"
_WIDTH, _WIDTH_OF_ONE, _HEIGHT, _RATIOS = 8.2, 5.2, 4.0, (1.3, 1.0)
_BELOW = 0.45
"""How far below the lowest setting that was chosen or published curves are still shown, as a share
of what lies above it.
"""
_SEVERAL, _HEIGHTS = 4, 3.0
"""Where so many methods, full among them, were calibrated, the figure is at most so many times as
high as they lie apart.
"""


def tradeoff(
    entries: Sequence[Entry], path_stem: Path, searches: Sequence[Search] = ()
) -> tuple[Path, Path]:
    """Draw score against expected time reduction (Fig. 1 and 4); return the paths of the PNG and
    the SVG.

    Every row has its curve, rows that only a table compares (`LEFT_OUT`) excepted. On the paper's
    own data scores are absolute; elsewhere they are relative to the full model, ours of the same
    seed and the paper's to its own. searches: dots and their Pareto front. A second panel sets
    FLOPs and measured time against the expectation, where records have them. Raises as `drawable`.
    """
    return save(tradeoff_figure(entries, searches), path_stem)


@matplotlib.rc_context(STYLE)
def tradeoff_figure(entries: Sequence[Entry], searches: Sequence[Search] = ()) -> Figure:
    """Return Fig. 1/4 unsaved; arguments as in `tradeoff`."""
    drawn = drawable(entries)
    scores = _Scores(drawn, searches)
    compared = [
        entry for entry in drawn if entry.row not in ("full", ORACLE)
    ]  # nobody can run an oracle
    found = {name: curves.curves(compared, curves.cost(name)) for name in ("flops", "measured")}
    costs = any(found.values())
    caption = tradeoff_caption(drawn, searches, scores.floor, seeds_without_full(entries))
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
        self.curves, self.searches, self.metric = (
            curves.curves(entries, curves.score),
            searches,
            record.metric,
        )
        self.intervals = curves.intervals(entries)
        self.absolute = is_paper_data(record)
        scale = 1.0 if self.absolute else 100.0 / published_full_score(record.task)
        points = [
            point
            for point in published_points(record.task)
            if self.absolute or point.model != FULL_MODEL
        ]
        self.published = [(point, 100.0 * point.reduction, scale * point.score) for point in points]

    @property
    def floor(self) -> float | None:
        """The score below which nothing is shown; None where nothing is so low.

        Curves fall to nothing in the end, and a smaller model or a published point may lie far
        below methods that hardly differ: either would press everything that matters into the top of
        the figure.
        """
        chosen = [y for curve in self.curves for y in lows(curve.calibrated)] + [
            y for _, _, y in self.published
        ]
        swept = [y for curve in self.curves for _, y in curve.points]
        swept += [self._scale(search) * y for search in self.searches for _, y in search.points]
        if not chosen:
            return None
        floor = max(min(chosen) - _BELOW * (max(chosen) - min(chosen)), self._floor_of_methods())
        return floor if min(chosen + swept) < floor < max(chosen) else None

    def _floor_of_methods(self) -> float:
        """Return how low the figure may reach if the differences of our methods should show."""
        methods = [
            curve.calibrated
            for curve in self.curves
            if curve.calibrated and curve.row not in ("small", ORACLE)
        ]
        if len(methods) < _SEVERAL:
            return -np.inf
        bounds = [
            bound for points in methods for point in points for bound in (point.y.low, point.y.high)
        ]
        return max(bounds) - _HEIGHTS * max(max(bounds) - min(bounds), 1.0)

    def _scale(self, search: Search) -> float:
        return 1.0 if self.absolute else 100.0 / search.full_score

    def draw(self, axes: Axes) -> None:
        for search in self.searches:
            _draw_search(axes, search, self._scale(search))
        for curve in self.curves:
            draw_curve(axes, curve)
            for interval in self.intervals.get(curve.row, ()):
                draw_bars(axes, interval, look_of(curve.row).colour)
        if not self.absolute:
            axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
        for point, x, y in self.published:
            mark(
                axes,
                [x],
                [y],
                look_of(point.method or "small"),
                hollow=True,
                label=f"{point.model} (paper)",
            )
        unit = "%" if self.metric == "accuracy" else "x 100"
        axes.set(
            xlabel=_EXPECTED,
            ylabel=f"{self.metric} ({unit})"
            if self.absolute
            else f"{self.metric} (% of the full model's)",
        )
        self._set_limits(axes)
        label_points(axes, self._labels(axes))

    def _set_limits(self, axes: Axes) -> None:
        axes.margins(x=0.08, y=0.1)
        floor = self.floor
        if floor is None:
            return
        right = [point.x.high for curve in self.curves for point in curve.calibrated] + [
            x for _, x, _ in self.published
        ]
        right += [end_of_line(*means(curve.line), floor)[0] for curve in self.curves if curve.line]
        right += [
            100.0 * x
            for search in self.searches
            for x, y in search.points
            if self._scale(search) * y >= floor
        ]
        axes.set(
            ylim=(floor, axes.dataLim.y1 + 0.12 * (axes.dataLim.y1 - floor)),
            xlim=(-0.06 * max(right), 1.1 * max(right)),
        )

    def _labels(self, axes: Axes) -> list[Label]:
        """Draw points below the figure at its edge, and return the names of all others."""
        named = [
            _Named(row_label(curve, self.floor), look_of(curve.row), hollow=False)
            for curve in self.curves
        ]
        for point, x, y in self.published:
            look = look_of(point.method or "small")
            named.append(
                _Named(Label(x, y, f"{point.model} (paper)", look.colour), look, hollow=True)
            )
        low = sorted(
            (name for name in named if self.floor is not None and name.label.y < self.floor),
            key=lambda name: name.label.y,
        )
        for rank, name in enumerate(low):
            name.draw_at_edge(axes, rank)
        return [name.at_top(axes) for name in named if name not in low]


class _Named(NamedTuple):
    """A point with a name."""

    label: Label
    look: Look
    hollow: bool

    def draw_at_edge(self, axes: Axes, rank: int) -> None:
        """Draw a point that lies below the figure at its edge, lower ones lower, its score beside
        it.
        """
        x, y, text, colour = self.label
        bottom, top = axes.get_ylim()
        edge = bottom + (0.04 + 0.06 * rank) * (top - bottom)
        mark(axes, [x], [edge], self.look, self.hollow, label=f"{text} below")
        label_beside(axes, Label(x, edge, f"{text} \u2193 {y:.1f}", colour))

    def at_top(self, axes: Axes) -> Label:
        """Return the name, of a line across the figure at its upper end."""
        bottom, top = axes.get_ylim()
        return (
            self.label
            if self.look.marker
            else self.label._replace(y=bottom + 0.95 * (top - bottom))
        )


def _draw_search(axes: Axes, search: Search, scale: float) -> None:
    name, colour, _ = look_of(search.method)
    for points, style, part in (
        (search.points, ".", "tried"),
        (pareto_front(search.points), "-", "front"),
    ):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        axes.plot(
            100.0 * x,
            scale * y,
            style,
            color=colour,
            alpha=0.5,
            markersize=6,
            markeredgewidth=0,
            linewidth=0.9,
            label=f"{name} {part}",
        )


def _draw_costs(axes: Axes, flops: Sequence[Curve], measured: Sequence[Curve]) -> None:
    """Draw what the expectation became in FLOPs and on the clock."""
    labels = {}
    for quantity, found in (("flops", flops), ("measured", measured)):
        for curve in found:
            look = look_of(curve.row)
            x, y = means(curve.line)
            if quantity == "flops" and len(x) > 1:
                axes.plot(
                    x,
                    y,
                    color=look.colour,
                    alpha=0.7,
                    zorder=2,
                    label=f"{look.name} {quantity} line",
                    **look.line,
                )
            draw_calibrated(
                axes, curve, look, hollow=quantity == "measured", label=f"{look.name} {quantity}"
            )
            labels[curve.row] = row_label(curve)
    _join(axes, flops, measured)
    low, high = min(0.0, 1.15 * axes.dataLim.y0), 1.12 * max(axes.dataLim.x1, axes.dataLim.y1, 1.0)
    axes.plot([0, high], [0, high], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(
        xlabel=_EXPECTED,
        ylabel="reduction that was found (%)",
        xlim=(0, high),
        ylim=(low - 0.04 * high, high),
    )
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
            axes.plot(
                [one.x.mean, other.x.mean],
                [one.y.mean, other.y.mean],
                "-",
                color=look_of(curve.row).colour,
                linewidth=0.7,
                zorder=2,
            )


def _key(label: str, **look: Any) -> Line2D:
    return Line2D([], [], color=GREY, label=label, markersize=6, **{"linestyle": "", **look})
