"""Score against expected time reduction: trade-off (Fig. 1 and 4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mue_cli.reports.curves import METHOD_NAMES, Search, check_alike, full_score, is_paper_data, pareto_front, tradeoff_caption
from mue_cli.reports.figures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    Label,
    figure_with_caption,
    label_points,
    save,
)
from mue_cli.reports.published import FULL_MODEL, published_full_score, published_points
from mue_cli.reports.record import Record

_METHODS = {
    "full": (BLACK, "*"),
    "mue": (VERMILLION, "o"),
    "deebert": (BLUE, "s"),
    "pabee": (GREEN, "^"),
    "calm": (PURPLE, "D"),
    "deecap": (ORANGE, "v"),
    "static": (SKY, "p"),
}
_EXPECTED = "expected time reduction, Eq. 14 (%)"


def tradeoff(records: Sequence[Record], path_stem: Path, searches: Sequence[Search] = ()) -> tuple[Path, Path]:
    """Draw score against expected time reduction (Fig. 1 and 4); return the paths of the PNG and the SVG.

    Records must share task, dataset, split and metric. On the paper's own data scores are absolute; elsewhere they are relative to the full
    model, ours and the paper's each to its own. searches: dots and their Pareto front. A second panel sets FLOPs and measured time against
    the expectation, where records have them. Raises DataError for records that do not belong together, MissingStepError without a record of
    `full` to be relative to.
    """
    return save(tradeoff_figure(records, searches), path_stem)


@matplotlib.rc_context(STYLE)
def tradeoff_figure(records: Sequence[Record], searches: Sequence[Search] = ()) -> Figure:
    """Return Fig. 1/4 unsaved; arguments as in `tradeoff`."""
    check_alike(records)
    timed = [record for record in records if record.method != "full" and {"flops", "measured"} & record.costs.keys()]
    figure, panels = figure_with_caption(2 if timed else 1, tradeoff_caption(records, searches), width=8.2 if timed else 5.2)
    _draw_scores(panels[0], records, searches)
    if timed:
        _draw_costs(panels[1], timed)
    return figure


def _draw_scores(axes: Axes, records: Sequence[Record], searches: Sequence[Search]) -> None:
    task, metric = records[0].task, records[0].metric
    absolute = is_paper_data(records[0])
    scale = 1.0 if absolute else 100.0 / full_score(records)
    for search in searches:
        _draw_search(axes, search, 1.0 if absolute else 100.0 / search.full_score)
    methods = dict.fromkeys(record.method for record in records)
    labels = [_draw_method(axes, [record for record in records if record.method == method], scale) for method in methods]
    paper_scale = 1.0 if absolute else 100.0 / published_full_score(task)
    for point in published_points(task):
        if absolute or point.model != FULL_MODEL:
            x, y, look = 100.0 * point.reduction, paper_scale * point.score, _look(point.method)
            _mark(axes, [x], [y], look, hollow=True, label=f"{point.model} (paper)")
            labels.append(Label(x, y, f"{point.model} (paper)", look[1]))
    if not absolute:
        axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
    unit = "%" if metric == "accuracy" else "x 100"
    axes.set(xlabel=_EXPECTED, ylabel=f"{metric} ({unit})" if absolute else f"{metric} (% of the full model's)")
    axes.margins(x=0.08, y=0.1)
    label_points(axes, labels)


def _draw_search(axes: Axes, search: Search, scale: float) -> None:
    name, colour, _ = _look(search.method)
    for points, style, part in ((search.points, ".", "tried"), (pareto_front(search.points), "-", "front")):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        axes.plot(
            100.0 * x, scale * y, style, color=colour, alpha=0.5, markersize=6, markeredgewidth=0, linewidth=0.9, label=f"{name} {part}"
        )


def _draw_method(axes: Axes, records: Sequence[Record], scale: float) -> Label:
    """Draw one method's points; return its name, at the point of the largest reduction."""
    look = name, colour, _ = _look(records[0].method)
    records = sorted(records, key=lambda record: record.costs["expected"])
    x = [100.0 * record.costs["expected"] for record in records]
    y = [scale * record.score for record in records]
    for at, record in zip(x, records, strict=True):
        if record.metric in record.confidence:
            bounds = [scale * bound for bound in record.confidence[record.metric]]
            axes.plot([at, at], bounds, "-", marker="_", color=colour, linewidth=1, markersize=6)
    if len(x) > 1:
        axes.plot(x, y, "-", color=colour, linewidth=1.6, zorder=3)
    _mark(axes, x, y, look, hollow=False, label=name)
    return Label(x[-1], y[-1], name, colour)


def _draw_costs(axes: Axes, records: Sequence[Record]) -> None:
    """Draw what the expectation became in FLOPs and on the clock."""
    labels = []
    for method in dict.fromkeys(record.method for record in records):
        mine = sorted((record for record in records if record.method == method), key=lambda record: record.costs["expected"])
        look = name, colour, _ = _look(method)
        for record in mine:
            found = [100.0 * record.costs[quantity] for quantity in ("flops", "measured") if quantity in record.costs]
            axes.plot([100.0 * record.costs["expected"]] * len(found), found, "-", color=colour, linewidth=0.9)
        for quantity in ("flops", "measured"):
            points = [(100.0 * r.costs["expected"], 100.0 * r.costs[quantity]) for r in mine if quantity in r.costs]
            if points:
                x, y = (list(values) for values in zip(*points, strict=True))
                _mark(axes, x, y, look, hollow=quantity == "measured", label=f"{name} {quantity}")
                last = Label(x[-1], y[-1], name, colour)
        labels.append(last)
    low, high = min(0.0, 1.15 * axes.dataLim.y0), 1.12 * max(axes.dataLim.x1, axes.dataLim.y1, 1.0)
    axes.plot([0, high], [0, high], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel=_EXPECTED, ylabel="reduction that was found (%)", xlim=(0, high), ylim=(low - 0.04 * high, high))
    key = [_key("FLOPs", marker="o"), _key("measured time", marker="o", markerfacecolor="white"), _key("as expected", linestyle=":")]
    axes.legend(handles=key, loc="best")
    label_points(axes, labels)


def _mark(axes: Axes, x: Sequence[float], y: Sequence[float], look: tuple[str, str, str], hollow: bool, label: str) -> None:
    _, colour, marker = look
    size = 11 if marker == "*" else 7
    face = "white" if hollow else colour
    axes.plot(x, y, marker, color=colour, markersize=size, markerfacecolor=face, markeredgewidth=1.2, zorder=4, label=label)


def _key(label: str, **look: Any) -> Line2D:
    return Line2D([], [], color=GREY, label=label, markersize=6, **{"linestyle": "", **look})


def _look(method: str) -> tuple[str, str, str]:
    """Return the name in the figure, the colour and the marker."""
    return METHOD_NAMES.get(method, method), *_METHODS.get(method, (GREY, "X"))
