"""The paper's figures, as PNG and SVG: saturation (Fig. 3) and trade-off (Fig. 1 and 4).

Colours are Okabe and Ito's, told apart by colour-blind readers; every colour comes with its own marker. No window is ever opened.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from mue_cli.reports.curves import METHOD_NAMES, Search, check_alike, full_score, is_paper_data, pareto_front, tradeoff_caption
from mue_cli.reports.labels import Box, Obstacle, around, place_labels
from mue_cli.reports.profile import SimilarityProfile
from mue_cli.reports.published import FULL_MODEL, published_full_score, published_points
from mue_cli.reports.record import Record

BLACK, GREY = "#000000", "#7f7f7f"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"

_METHODS = {
    "full": (BLACK, "*"),
    "mue": (VERMILLION, "o"),
    "deebert": (BLUE, "s"),
    "pabee": (GREEN, "^"),
    "calm": (PURPLE, "D"),
    "deecap": (ORANGE, "v"),
    "static": (SKY, "p"),
}
# colour, marker, what a row is
_STREAMS = {
    "image": (BLUE, "o", "samples"),
    "text": (VERMILLION, "s", "samples"),
    "joint": (PURPLE, "D", "samples"),
    "decoder": (GREEN, "^", "decoding steps"),
}
_BAND = (10, 90)
_EXPECTED = "expected time reduction, Eq. 14 (%)"
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "mue",
}
_CAPTION_SIZE, _CAPTION_LINE, _CAPTION_CHARACTERS = 7.5, 0.145, 17.0  # points, inches a line, characters an inch
_LABEL_SIZE = 8.5


class _Label(NamedTuple):
    x: float
    y: float
    text: str
    colour: str


def saturation(profile: SimilarityProfile, path_stem: Path, thresholds: Mapping[str, float] | None = None) -> tuple[Path, Path]:
    """Draw how similar each layer's output is to its input (Fig. 3); return the paths of the PNG and the SVG.

    One panel per stream. thresholds: stream -> exit threshold, drawn where it is not above 1.
    """
    return save(saturation_figure(profile, thresholds), path_stem)


def tradeoff(records: Sequence[Record], path_stem: Path, searches: Sequence[Search] = ()) -> tuple[Path, Path]:
    """Draw score against expected time reduction (Fig. 1 and 4); return the paths of the PNG and the SVG.

    Records must share task, dataset, split and metric. On the paper's own data scores are absolute; elsewhere they are relative to the full
    model, ours and the paper's each to its own. searches: dots and their Pareto front. A second panel sets FLOPs and measured time against
    the expectation, where records have them. Raises DataError for records that do not belong together, MissingStepError without a record of
    `full` to be relative to.
    """
    return save(tradeoff_figure(records, searches), path_stem)


@matplotlib.rc_context(STYLE)
def saturation_figure(profile: SimilarityProfile, thresholds: Mapping[str, float] | None = None) -> Figure:
    """Return Fig. 3 unsaved; arguments as in `saturation`."""
    streams = [name for name in _STREAMS if name in profile.streams]
    about = "".join(f" {key}: {value}." for key, value in profile.about.items())
    text = f"Line: mean; band: 10th to 90th percentile; no exits. Layer 1 is compared with the embedding.{about}"
    figure, panels = figure_with_caption(len(streams), text, width=2.0 * len(streams) + 1.2, height=2.9, share_y=True)
    panels[0].set_ylabel("cosine similarity\nof a layer's output and input")
    for axes, name in zip(panels, streams, strict=True):
        _draw_stream(axes, name, np.asarray(profile.streams[name], dtype=float))
        threshold = (thresholds or {}).get(name, 2.0)
        if threshold <= 1:
            line = axes.axhline(threshold, color=BLACK, linestyle="--", linewidth=0.9)
            axes.legend([line], [f"exit above {threshold:.3f}"], loc="best")
    return figure


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


def _draw_stream(axes: Axes, name: str, values: np.ndarray) -> None:
    colour, marker, rows = _STREAMS[name]
    layers = np.arange(1, values.shape[1] + 1)
    low, high = np.percentile(values, _BAND, axis=0)
    axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(layers, values.mean(axis=0), "-", color=colour, marker=marker, markersize=5, linewidth=1.6, label=name)
    axes.set_title(f"{name} ({len(values):,} {rows})", color=_dark(colour))
    axes.set(xlabel="layer", xticks=_ticks(len(layers)), xlim=(0.7, len(layers) + 0.3))


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
            labels.append(_Label(x, y, f"{point.model} (paper)", look[1]))
    if not absolute:
        axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
    unit = "%" if metric == "accuracy" else "x 100"
    axes.set(xlabel=_EXPECTED, ylabel=f"{metric} ({unit})" if absolute else f"{metric} (% of the full model's)")
    axes.margins(x=0.08, y=0.1)
    _label_points(axes, labels)


def _draw_search(axes: Axes, search: Search, scale: float) -> None:
    name, colour, _ = _look(search.method)
    for points, style, part in ((search.points, ".", "tried"), (pareto_front(search.points), "-", "front")):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        axes.plot(
            100.0 * x, scale * y, style, color=colour, alpha=0.5, markersize=6, markeredgewidth=0, linewidth=0.9, label=f"{name} {part}"
        )


def _draw_method(axes: Axes, records: Sequence[Record], scale: float) -> _Label:
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
    return _Label(x[-1], y[-1], name, colour)


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
                last = _Label(x[-1], y[-1], name, colour)
        labels.append(last)
    low, high = min(0.0, 1.15 * axes.dataLim.y0), 1.12 * max(axes.dataLim.x1, axes.dataLim.y1, 1.0)
    axes.plot([0, high], [0, high], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel=_EXPECTED, ylabel="reduction that was found (%)", xlim=(0, high), ylim=(low - 0.04 * high, high))
    key = [_key("FLOPs", marker="o"), _key("measured time", marker="o", markerfacecolor="white"), _key("as expected", linestyle=":")]
    axes.legend(handles=key, loc="best")
    _label_points(axes, labels)


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


def _ticks(num_layers: int) -> list[int]:
    step = 1 if num_layers <= 8 else 2 if num_layers <= 16 else 4
    return [1, *range(step, num_layers + 1, step)] if step > 1 else list(range(1, num_layers + 1))


def figure_with_caption(
    num_panels: int, caption: str, width: float, height: float = 3.4, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels side by side above a caption; sizes in inches, the caption's lines come on top of the height."""
    lines = textwrap.wrap(caption, int(width * _CAPTION_CHARACTERS))
    total = height + _CAPTION_LINE * len(lines)
    figure = Figure(figsize=(width, total))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_panels, squeeze=False, sharey=share_y)[0]
    bottom = 0.6 + _CAPTION_LINE * len(lines)
    figure.subplots_adjust(
        left=0.72 / width,
        right=1 - 0.15 / width,
        bottom=bottom / total,
        top=1 - (0.3 if share_y else 0.12) / total,
        wspace=0.08 if share_y else 0.24,
    )
    figure.text(0.12 / width, 0.08 / total, "\n".join(lines), fontsize=_CAPTION_SIZE, color="#404040", va="bottom", linespacing=1.25)
    return figure, list(panels)


def _label_points(axes: Axes, labels: Sequence[_Label]) -> None:
    """Write each name near its point, off all lines, markers and other names; a thin line leads to one that had to go far."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    pixels = axes.figure.dpi / 72
    gap = 7 * pixels
    anchors = [tuple(axes.transData.transform((label.x, label.y))) for label in labels]
    halo = [withStroke(linewidth=2, foreground="white")]
    texts = [
        axes.text(0, 0, label.text, color=_dark(label.colour), fontsize=_LABEL_SIZE, va="bottom", zorder=6, path_effects=halo)
        for label in labels
    ]
    sizes = [(box.width, box.height) for box in (text.get_window_extent() for text in texts)]
    view = axes.get_window_extent()
    frame = Box(view.x0 + 3 * pixels, view.y0 + 3 * pixels, view.x1, view.y1)
    boxes = place_labels(anchors, sizes, list(_obstacles(axes, 4.5 * pixels)), frame, gap)
    to_data = axes.transData.inverted()
    for text, box, anchor, label in zip(texts, boxes, anchors, labels, strict=True):
        text.set_position(tuple(to_data.transform((box.left, box.bottom))))
        near = box.nearest(*anchor)
        if np.hypot(near[0] - anchor[0], near[1] - anchor[1]) > 1.5 * gap:
            end = to_data.transform(near)
            axes.plot([label.x, end[0]], [label.y, end[1]], "-", color=label.colour, linewidth=0.6, alpha=0.8, zorder=2)


def _obstacles(axes: Axes, radius: float) -> Iterator[Obstacle]:
    """Yield what a name must not lie on: markers, then lines, then the dots of a search, and the legend."""
    for line in axes.get_lines():
        points = line.get_transform().transform(np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)]))
        dots = line.get_marker() == "."
        if line.get_marker() not in ("None", "", None):
            yield from ((around(x, y, radius / 2 if dots else radius), 1.0 if dots else 8.0) for x, y in points)
        if line.get_linestyle() != "None":
            for start, end in pairwise(points):
                steps = int(2 * np.hypot(*(end - start)) / radius) + 2
                yield from ((around(x, y, radius / 4), 2.0) for x, y in np.linspace(start, end, steps))
    legend = axes.get_legend()
    if legend:
        box = legend.get_window_extent()
        yield Box(box.x0, box.y0, box.x1, box.y1), 4.0


def _dark(colour: str) -> tuple[float, ...]:
    """Return the colour darkened enough to be read as text."""
    return tuple(0.75 * channel for channel in to_rgb(colour))


def save(figure: Figure, path_stem: Path) -> tuple[Path, Path]:
    """Write a figure as PNG and SVG, and return their paths."""
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path_stem.with_name(path_stem.name + ending) for ending in (".png", ".svg"))
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, dpi=200)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg
