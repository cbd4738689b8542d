"""How similar each layer's output is to its input: saturation (Fig. 3)."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mue_cli.reports.figures.canvas import (
    BLACK,
    STREAMS,
    STYLE,
    dark,
    figure_with_caption,
    layer_ticks,
    save,
)
from mue_cli.reports.saturation import Saturation

_BAND = (10, 90)


def saturation(
    saturation: Saturation, path_stem: Path, thresholds: Mapping[str, float] | None = None
) -> tuple[Path, Path]:
    """Draw how similar each layer's output is to its input (Fig. 3); return the paths of the PNG
    and the SVG.

    One panel per stream. thresholds: stream -> exit threshold, drawn where it is not above 1.
    """
    return save(saturation_figure(saturation, thresholds), path_stem)


@matplotlib.rc_context(STYLE)
def saturation_figure(
    saturation: Saturation, thresholds: Mapping[str, float] | None = None
) -> Figure:
    """Return Fig. 3 unsaved; arguments as in `saturation`."""
    streams = [name for name in STREAMS if name in saturation.exit_scores]
    where = " ".join(
        saturation.about[key] for key in ("dataset", "split") if key in saturation.about
    )
    text = (
        f"{where}, no exits. Line: mean; band: 10th to 90th percentile. Layer 1 is compared with "
        "the embedding. Own share: of the variance of exit layers, what is within one threshold."
    )
    figure, panels = figure_with_caption(
        len(streams), text, width=2.0 * len(streams) + 1.2, height=3.05, share_y=True
    )
    figure.subplots_adjust(top=1 - 0.45 / figure.get_figheight())
    panels[0].set_ylabel("cosine similarity\nof a layer's output and input")
    for axes, name in zip(panels, streams, strict=True):
        _draw_stream(axes, name, saturation)
        threshold = (thresholds or {}).get(name, 2.0)
        if threshold <= 1:
            line = axes.axhline(threshold, color=BLACK, linestyle="--", linewidth=0.9)
            axes.legend([line], [f"exit above {threshold:.3f}"], loc="best")
    return figure


def _draw_stream(axes: Axes, name: str, saturation: Saturation) -> None:
    colour, marker, rows = STREAMS[name]
    values = np.asarray(saturation.exit_scores[name], dtype=float)
    layers = np.arange(1, values.shape[1] + 1)
    low, high = np.percentile(values, _BAND, axis=0)
    axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(
        layers,
        values.mean(axis=0),
        "-",
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.6,
        label=name,
    )
    own = f"own share {saturation.own_share(name):.0%}"
    axes.set_title(f"{name} ({len(values):,} {rows})\n{own}", color=dark(colour))
    axes.set(xlabel="layer", xticks=layer_ticks(len(layers)), xlim=(0.7, len(layers) + 0.3))
