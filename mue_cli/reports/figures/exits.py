"""Where samples and words leave, layer by layer, and word by word."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.exits import Exits
from mue_cli.reports.figures.canvas import (
    BLACK,
    STREAMS,
    STYLE,
    dark,
    figure_with_caption,
    layer_ticks,
    save,
)

_INCHES_A_STREAM, _INCHES_OF_POSITIONS, _MARGIN, _HEIGHT = 1.8, 2.7, 0.9, 3.0
_WORDS_HEIGHT = 0.25
"""Height of the bars that count words, as a share of the panel."""


def exits(drawn: Exits, path_stem: Path) -> tuple[Path, Path]:
    """Draw the share that leaves after each layer, for every stream, and the mean exit layer by
    decoding step where there are several.

    Returns the paths of the PNG and the SVG.
    """
    return save(exits_figure(drawn), path_stem)


@matplotlib.rc_context(STYLE)
def exits_figure(drawn: Exits) -> Figure:
    """Return the figure unsaved."""
    streams = [name for name in STREAMS if name in (*drawn.encoder, "decoder")]
    several = max(map(len, drawn.words)) > 1
    widths = [_INCHES_A_STREAM] * len(streams) + [_INCHES_OF_POSITIONS] * several
    figure, panels = figure_with_caption(
        len(widths), _caption(drawn, several), sum(widths) + _MARGIN, _HEIGHT, ratios=widths
    )
    figure.subplots_adjust(top=1 - 0.3 / figure.get_figheight(), wspace=0.34)
    highest = 100.0 * max(drawn.shares(stream).max() for stream in streams)
    for axes, stream in zip(panels, streams, strict=False):
        _draw_shares(axes, drawn, stream, one="words" if several else "answers")
        axes.set_ylim(0, 1.12 * highest)
        axes.tick_params(labelleft=axes is panels[0])
    panels[0].set_ylabel("share that leaves (%)")
    if several:
        _draw_positions(panels[-1], drawn)
    return figure


def _draw_shares(axes: Axes, drawn: Exits, stream: str, one: str) -> None:
    colour = STREAMS[stream][0]
    layers, shares, mean = (
        np.arange(1, drawn.num_layers(stream) + 1),
        100.0 * drawn.shares(stream),
        float(np.mean(drawn.of(stream))),
    )
    axes.bar(layers, shares, width=0.72, color=colour)
    axes.axvline(mean, color=BLACK, linestyle="--", linewidth=1.0, label="mean")
    to_the_left = mean > (1 + len(layers)) / 2
    place: dict[str, Any] = {
        "xytext": (-4 if to_the_left else 4, 0),
        "textcoords": "offset points",
        "ha": "right" if to_the_left else "left",
        "va": "top",
    }
    halo = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.annotate(
        f"mean {mean:.2f}",
        (mean, 0.995),
        xycoords=("data", "axes fraction"),
        fontsize=8,
        bbox=halo,
        **place,
    )
    count = len(drawn.of(stream))
    counted = f"{count:,} {one}" if stream == "decoder" else samples_in_words([count])
    axes.set_title(f"{stream} ({counted})", color=dark(colour))
    axes.set(xlabel="exit layer", xticks=layer_ticks(len(layers)), xlim=(0.4, len(layers) + 0.6))
    axes.grid(visible=False, axis="x")


def _draw_positions(axes: Axes, drawn: Exits) -> None:
    """Draw the words' mean exit layer by decoding step, above bars that say how many words there
    are.
    """
    colour, marker, _ = STREAMS["decoder"]
    positions = drawn.positions()
    steps = [position.step for position in positions]
    axes.fill_between(
        steps,
        [p.low for p in positions],
        [p.high for p in positions],
        color=colour,
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(
        steps,
        [p.mean for p in positions],
        "-",
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.6,
        label="mean exit layer",
    )
    bottom = 1.0 - _WORDS_HEIGHT / (1.0 - _WORDS_HEIGHT) * drawn.num_decoder_layers
    axes.set(
        xlabel="decoding step",
        ylabel="exit layer",
        ylim=(bottom, drawn.num_decoder_layers + 0.3),
        xlim=(0.3, len(steps) + 0.7),
    )
    axes.set_yticks(layer_ticks(drawn.num_decoder_layers))
    axes.yaxis.set_label_coords(-0.17, 0.5 * (1 + _WORDS_HEIGHT))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.set_title("decoder, by position", color=dark(colour))
    _draw_counts(axes, steps, [position.num_words for position in positions])


def _draw_counts(axes: Axes, steps: list[int], counts: list[int]) -> None:
    below = axes.inset_axes((0.0, 0.0, 1.0, _WORDS_HEIGHT - 0.05), sharex=axes)
    below.bar(steps, counts, width=0.72, color="#9a9a9a")
    below.set(ylim=(0, 1.05 * max(counts)), yticks=[0, max(counts)])
    below.set_yticklabels(["0", f"{max(counts):,}"], fontsize=7)
    below.set_ylabel("words", fontsize=8)
    below.yaxis.set_label_coords(-0.17, 0.5)
    below.tick_params(labelbottom=False, bottom=False)
    below.grid(visible=False)


def _caption(drawn: Exits, several: bool) -> str:
    text = f"{drawn.about}. The last layer's bar: what never left early. Dashed: mean."
    band = "By position: mean exit layer of a step's words, 95\u00a0% interval; grey: their number."
    return f"{text} {band}" if several else text
