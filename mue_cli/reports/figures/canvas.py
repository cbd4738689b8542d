"""What all figures share: colours, style, a canvas with a caption, names beside points, and the
files they become.

Colours are Okabe and Ito's, told apart by colour-blind readers; every colour comes with its own
marker. No window is ever opened.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.labels import Box, Obstacle, around, place_labels

BLACK, GREY = "#000000", "#7f7f7f"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE, YELLOW = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
)

EXPECTED = "expected time reduction, Eq. 14 (%)"

# colour, marker, what a row is
STREAMS = {
    "image": (BLUE, "o", "samples"),
    "text": (VERMILLION, "s", "samples"),
    "joint": (PURPLE, "D", "samples"),
    "decoder": (GREEN, "^", "decoding steps"),
}
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
_CAPTION_SIZE, _CAPTION_LINE, _CAPTION_CHARACTERS = (
    7.5,
    0.145,
    17.0,
)  # points, inches a line, characters an inch
_LABEL_SIZE, _GAP = 8.5, 7  # points; a name's distance from its point


class Label(NamedTuple):
    """A name and the point it belongs to."""

    x: float
    y: float
    text: str
    colour: str


def figure_with_caption(
    num_panels: int,
    caption: str,
    width: float,
    height: float = 3.4,
    share_y: bool = False,
    ratios: Sequence[float] | None = None,
    rows: int = 1,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels side by side above a caption; sizes in inches, the caption's lines
    come on top of the height.

    ratios: of the panels' widths, all alike when left out. rows: of panels, row by row.
    """
    lines = textwrap.wrap(caption, int(width * _CAPTION_CHARACTERS))
    total = height + _CAPTION_LINE * len(lines)
    figure = Figure(figsize=(width, total))
    FigureCanvasAgg(figure)
    columns = num_panels // rows
    panels = figure.subplots(
        rows, columns, squeeze=False, sharey=share_y, width_ratios=ratios
    ).ravel()
    bottom = 0.6 + _CAPTION_LINE * len(lines)
    figure.subplots_adjust(
        left=0.72 / width,
        right=1 - 0.15 / width,
        bottom=bottom / total,
        top=1 - (0.3 if share_y else 0.12) / total,
        wspace=0.08 if share_y else 0.24,
    )
    figure.text(
        0.12 / width,
        0.08 / total,
        "\n".join(lines),
        fontsize=_CAPTION_SIZE,
        color="#404040",
        va="bottom",
        linespacing=1.25,
    )
    return figure, list(panels)


def where_measured(about: Mapping[str, str], num_samples: int) -> str:
    """Return data, samples and settings, as a caption begins."""
    where = f"{about.get('dataset', '')} {about.get('split', '')}".strip()
    settings = f" ({about['settings']})" if about.get("settings") else ""
    return f"{where}, {samples_in_words([num_samples])}{settings}"


def metric_label(metric: str, absolute: bool = True) -> str:
    """Return a metric with its unit. absolute: as papers print it; else relative to the full
    model's.
    """
    if not absolute:
        return f"{metric} (% of the full model's)"
    return f"{metric} ({'%' if metric == 'accuracy' else 'x 100'})"


def label_points(axes: Axes, labels: Sequence[Label]) -> None:
    """Write each name near its point, off all lines, markers and other names; a thin line leads to
    one that had to go far.
    """
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    pixels = axes.figure.dpi / 72
    gap = _GAP * pixels
    anchors = [tuple(axes.transData.transform((label.x, label.y))) for label in labels]
    obstacles = list(_obstacles(axes, 4.5 * pixels))
    texts = [axes.text(0, 0, label.text, va="bottom", **_ink(label)) for label in labels]
    sizes = [
        (box.width + 3 * pixels, box.height) for box in (text.get_window_extent() for text in texts)
    ]
    view = axes.get_window_extent()
    frame = Box(view.x0 + 3 * pixels, view.y0 + 3 * pixels, view.x1, view.y1)
    boxes = place_labels(anchors, sizes, obstacles, frame, gap)
    to_data = axes.transData.inverted()
    for text, box, anchor, label in zip(texts, boxes, anchors, labels, strict=True):
        text.set_position(tuple(to_data.transform((box.left + 1.5 * pixels, box.bottom))))
        near = box.nearest(*anchor)
        if np.hypot(near[0] - anchor[0], near[1] - anchor[1]) > 1.5 * gap:
            end = to_data.transform(near)
            axes.plot(
                [label.x, end[0]],
                [label.y, end[1]],
                "-",
                color=dark(label.colour),
                linewidth=0.7,
                zorder=3.9,
            )


def label_beside(axes: Axes, label: Label) -> None:
    """Write a name straight beside its point, whatever is there."""
    left = label.x < sum(axes.get_xlim()) / 2
    gap, side = (1.3 * _GAP, "left") if left else (-1.3 * _GAP, "right")
    place: dict[str, Any] = {
        "xytext": (gap, 0),
        "textcoords": "offset points",
        "ha": side,
        "va": "center_baseline",
    }
    axes.annotate(label.text, (label.x, label.y), **place, **_ink(label))


def _ink(label: Label) -> dict[str, Any]:
    halo = [withStroke(linewidth=2, foreground="white")]
    return {"color": dark(label.colour), "fontsize": _LABEL_SIZE, "zorder": 6, "path_effects": halo}


def _obstacles(axes: Axes, radius: float) -> Iterator[Obstacle]:
    """Yield what a name must not lie on: markers, then lines, then dots and what is drawn faintly,
    names that are there and the legend.
    """
    for line in axes.get_lines():
        points = line.get_transform().transform(
            np.column_stack(
                [np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)]
            )
        )
        dots = line.get_marker() == "." or line.get_alpha() is not None
        if line.get_marker() not in ("None", "", None):
            start, step = cast(tuple[int, int], line.get_markevery() or (0, 1))
            yield from (
                (around(x, y, radius / 2 if dots else radius), 1.0 if dots else 8.0)
                for x, y in points[start::step]
            )
        if line.get_linestyle() != "None":
            for start, end in pairwise(points):
                steps = int(2 * np.hypot(*(end - start)) / radius) + 2
                yield from (
                    (around(x, y, radius / 4), 2.0) for x, y in np.linspace(start, end, steps)
                )
    for text in axes.texts:
        box = text.get_window_extent()
        yield Box(box.x0, box.y0, box.x1, box.y1), 8.0
    legend = axes.get_legend()
    if legend:
        box = legend.get_window_extent()
        yield Box(box.x0, box.y0, box.x1, box.y1), 4.0


def dark(colour: str) -> tuple[float, float, float]:
    """Return the colour darkened enough to be read as text."""
    red, green, blue = (0.75 * channel for channel in to_rgb(colour))
    return red, green, blue


def layer_ticks(num_layers: int) -> list[int]:
    step = 1 if num_layers <= 8 else 2 if num_layers <= 16 else 4
    return [1, *range(step, num_layers + 1, step)] if step > 1 else list(range(1, num_layers + 1))


def svg_text(figure: Figure) -> str:
    """Return a figure as SVG."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def save(figure: Figure, path_stem: Path) -> tuple[Path, Path]:
    """Write a figure as PNG and SVG, and return their paths."""
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path_stem.with_name(path_stem.name + ending) for ending in (".png", ".svg"))
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, dpi=200)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg
