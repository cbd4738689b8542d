"""Score against expected time reduction: the trade-off of every method (Fig. 1 and 4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mue_cli.exits.catalogue import ORACLE
from mue_cli.reports import curves
from mue_cli.reports.curves import (
    Search,
    drawable,
    is_paper_data,
    pareto_front,
    seeds_without_full,
)
from mue_cli.reports.entries import Entry
from mue_cli.reports.figures.canvas import (
    EXPECTED,
    GREY,
    STYLE,
    Label,
    figure_with_caption,
    label_beside,
    label_points,
    metric_label,
    save,
)
from mue_cli.reports.figures.paper_points import draw_paper_points
from mue_cli.reports.figures.rows import (
    Look,
    draw_bars,
    draw_curve,
    end_of_line,
    look_of,
    lows,
    mark,
    means,
    row_label,
)
from mue_cli.reports.published import PUBLISHED
from mue_cli.reports.tradeoff_caption import tradeoff_caption

_WIDTH, _WIDTH_OF_PAPER, _HEIGHT = 6.2, 3.4, 4.0
_BELOW = 0.45
"""How far below the lowest chosen setting curves are still shown, as a share of the range above."""
_SEVERAL, _HEIGHTS = 4, 3.0
"""Where so many methods, full among them, were calibrated, the figure is at most so many times as
high as they lie apart.
"""


def tradeoff(
    entries: Sequence[Entry], path_stem: Path, searches: Sequence[Search] = (), paper: bool = False
) -> tuple[Path, Path]:
    """Draw score against expected time reduction (Fig. 1 and 4); return the paths of the PNG and
    the SVG.

    Every row has its curve, variants that only a table compares excepted. On the paper's own data
    scores are absolute; elsewhere relative to the full model of the same seed. searches:
    dots and their Pareto front. paper: the paper's points in a second panel, relative to its own
    full model. Raises as `drawable`.
    """
    return save(tradeoff_figure(entries, searches, paper), path_stem)


@matplotlib.rc_context(STYLE)
def tradeoff_figure(
    entries: Sequence[Entry], searches: Sequence[Search] = (), paper: bool = False
) -> Figure:
    """Return Fig. 1/4 unsaved; arguments as in `tradeoff`."""
    drawn = drawable(entries)
    scores = _Scores(drawn, searches)
    caption = tradeoff_caption(drawn, searches, scores.is_cut, seeds_without_full(entries))
    published = PUBLISHED.get(drawn[0].record.metric) if paper else None
    if published is None:
        figure, (axes,) = figure_with_caption(1, caption, _WIDTH, _HEIGHT)
        scores.draw(axes)
        return figure
    ratios = (_WIDTH, _WIDTH_OF_PAPER)
    figure, (axes, beside) = figure_with_caption(2, caption, sum(ratios), _HEIGHT, ratios=ratios)
    figure.subplots_adjust(top=1 - 0.42 / figure.get_figheight())
    scores.draw(axes)
    draw_paper_points(beside, published, scores.absolute)
    return figure


class _Scores:
    """Our curves and a search's dots."""

    def __init__(self, entries: Sequence[Entry], searches: Sequence[Search]) -> None:
        record = entries[0].record
        self.curves = curves.curves(entries, curves.score)
        self.searches, self.metric = searches, record.metric
        self.intervals = curves.intervals(entries)
        self.absolute = is_paper_data(record)

    @property
    def floor(self) -> float | None:
        """The score below which nothing is shown; None where nothing is so low.

        Curves fall to nothing in the end, and a smaller model may lie far below methods that hardly
        differ: either would press everything that matters into the top of the figure.
        """
        chosen = [y for curve in self.curves for y in lows(curve.calibrated)]
        swept = [y for curve in self.curves for _, y in curve.points]
        swept += [self._scale(search) * y for search in self.searches for _, y in search.points]
        if not chosen:
            return None
        floor = max(min(chosen) - _BELOW * (max(chosen) - min(chosen)), self._floor_of_methods())
        return floor if min(chosen + swept) < floor < max(chosen) else None

    @property
    def is_cut(self) -> bool:
        """Whether the name of a row lies below the axis."""
        floor = self.floor
        labels = [row_label(curve, floor) for curve in self.curves]
        return floor is not None and any(label.y < floor for label in labels)

    def draw(self, axes: Axes) -> None:
        for search in self.searches:
            _draw_search(axes, search, self._scale(search))
        for curve in self.curves:
            draw_curve(axes, curve)
            for interval in self.intervals.get(curve.row, ()):
                draw_bars(axes, interval, look_of(curve.row).colour)
        if not self.absolute:
            axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
        axes.set(xlabel=EXPECTED, ylabel=metric_label(self.metric, self.absolute))
        self._set_limits(axes)
        label_points(axes, self._labels(axes))

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

    def _set_limits(self, axes: Axes) -> None:
        axes.margins(x=0.08, y=0.1)
        floor = self.floor
        if floor is None:
            return
        right = [point.x.high for curve in self.curves for point in curve.calibrated]
        right += [end_of_line(*means(curve.line), floor)[0] for curve in self.curves if curve.line]
        right += [
            100.0 * x
            for search in self.searches
            for x, y in search.points
            if self._scale(search) * y >= floor
        ]
        top = axes.dataLim.y1
        axes.set(
            ylim=(floor, top + 0.12 * (top - floor)), xlim=(-0.06 * max(right), 1.1 * max(right))
        )

    def _labels(self, axes: Axes) -> list[Label]:
        """Draw points below the figure at its edge, and return the names of all others."""
        floor = self.floor
        named = [_Named(row_label(curve, floor), look_of(curve.row)) for curve in self.curves]
        low = [name for name in named if floor is not None and name.label.y < floor]
        for rank, name in enumerate(sorted(low, key=lambda name: name.label.y)):
            name.draw_at_edge(axes, rank)
        return [name.at_top(axes) for name in named if name not in low]


class _Named(NamedTuple):
    """A point with a name."""

    label: Label
    look: Look

    def draw_at_edge(self, axes: Axes, rank: int) -> None:
        """Draw a point that lies below the figure at its edge, lower ones lower, its score beside
        it.
        """
        x, y, text, colour = self.label
        bottom, top = axes.get_ylim()
        edge = bottom + (0.04 + 0.06 * rank) * (top - bottom)
        mark(axes, [x], [edge], self.look, hollow=False, label=f"{text} below")
        label_beside(axes, Label(x, edge, f"{text} \u2193 {y:.1f}", colour))

    def at_top(self, axes: Axes) -> Label:
        """Return the name, of a line across the figure at its upper end."""
        bottom, top = axes.get_ylim()
        at = self.label.y if self.look.marker else bottom + 0.95 * (top - bottom)
        return self.label._replace(y=at)


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
