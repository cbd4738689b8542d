"""Score read after each layer of each stream: whether depth matters, and where."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.figures.canvas import (
    BLACK,
    STREAMS,
    STYLE,
    dark,
    figure_with_caption,
    layer_ticks,
    metric_label,
    save,
    where_measured,
)

_ENCODER = (BLACK, "D", "samples")


def depth_scores(measured: DepthScores, path_stem: Path) -> tuple[Path, Path]:
    """Draw the score after each layer; return the paths of the PNG and the SVG."""
    return save(depth_scores_figure(measured), path_stem)


@matplotlib.rc_context(STYLE)
def depth_scores_figure(measured: DepthScores) -> Figure:
    """Return the figure unsaved: a panel per stream, on one scale."""
    streams = measured.streams
    figure, panels = figure_with_caption(
        len(streams), _caption(measured), width=1.7 * len(streams) + 1.2, height=2.9, share_y=True
    )
    panels[0].set_ylabel(metric_label(measured.metric))
    for axes, name in zip(panels, streams, strict=True):
        colour, marker, _ = STREAMS.get(name, _ENCODER)
        scores, differences = measured.scores[name], measured.differences[name]
        layers = np.arange(1, len(scores) + 1)
        low, high = scores[-1] + differences[:, 1], scores[-1] + differences[:, 2]
        axes.axhline(scores[-1], color="#a0a0a0", linewidth=0.9, linestyle=":")
        axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(layers, scores, "-", color=colour, marker=marker, markersize=5, linewidth=1.6)
        for layer, value in zip(layers, scores, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (layer, value),
                (0, -12),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=dark(colour),
            )
        title = "image and text" if name == "encoder" else name
        axes.set_title(title, color=dark(colour))
        axes.set(xlabel="read after layer", xticks=layer_ticks(len(layers)))
        axes.set_xlim(0.5, len(layers) + 0.5)
    panels[0].margins(y=0.12)
    return figure


def _caption(measured: DepthScores) -> str:
    where = (
        f"{where_measured(measured.about, measured.num_samples)}; the other streams at full depth."
    )
    band = " Band: 95 % interval of the difference to the full model."
    return where + (band if measured.has_bounds else "")
