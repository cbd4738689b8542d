"""Score by image and text exit layer, as a heat map (the paper's Table 2)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from mue_cli.reports import heat
from mue_cli.reports.exit_grid import ExitGrid
from mue_cli.reports.figures.canvas import (
    STYLE,
    figure_with_caption,
    metric_label,
    save,
    where_measured,
)

_INCHES_A_LAYER, _LEFT, _RIGHT = 0.62, 0.55, 0.95
_SCORE_SIZE, _REDUCTION_SIZE = 9.0, 6.5


def exit_grid(grid: ExitGrid, path_stem: Path) -> tuple[Path, Path]:
    """Draw the score for every pair of image and text exit layers; return the paths of the PNG and
    the SVG.
    """
    return save(exit_grid_figure(grid), path_stem)


@matplotlib.rc_context(STYLE)
def exit_grid_figure(grid: ExitGrid) -> Figure:
    """Return the heat map unsaved."""
    side = _INCHES_A_LAYER * grid.num_layers
    figure, (axes,) = figure_with_caption(
        1, _caption(grid), width=_LEFT + side + _RIGHT, height=side + 0.72
    )
    image = _draw_cells(axes, grid)
    for image_layer, text_layer in grid.best_pairs():
        for inset, colour, width in (
            (0.03, "black", 1.4),
            (0.06, "white", 0.8),
        ):  # one of the two shows on any cell
            corner, size = (text_layer - 0.5 + inset, image_layer - 0.5 + inset), 1.0 - 2.0 * inset
            axes.add_patch(
                Rectangle(corner, size, size, fill=False, edgecolor=colour, linewidth=width)
            )
    figure.subplots_adjust(
        left=_LEFT / figure.get_figwidth(), right=(_LEFT + side) / figure.get_figwidth()
    )
    bar = figure.colorbar(
        image, cax=axes.inset_axes((1.03, 0.0, 0.15 / side, 1.0)), ticks=MaxNLocator(5)
    )
    bar.set_label(metric_label(grid.metric))
    bar.outline.set_visible(False)
    return figure


def _draw_cells(axes: Axes, grid: ExitGrid) -> AxesImage:
    ends, layers = (0.5, grid.num_layers + 0.5), range(1, grid.num_layers + 1)
    norm = Normalize(grid.scores.min(), max(grid.scores.max(), grid.scores.min() + 1e-9))
    image = axes.imshow(
        grid.scores,
        cmap="cividis",
        norm=norm,
        origin="lower",
        extent=(*ends, *ends),
        aspect="equal",
    )
    for i in layers:
        for t in layers:
            colour = _ink(image.cmap(norm(grid.score(i, t))))
            axes.text(
                t,
                i + 0.13,
                f"{grid.score(i, t):.1f}",
                ha="center",
                va="center",
                fontsize=_SCORE_SIZE,
                color=colour,
            )
            axes.text(
                t,
                i - 0.24,
                f"{100 * grid.reduction(i, t):.1f} %",
                ha="center",
                va="center",
                fontsize=_REDUCTION_SIZE,
                color=colour,
            )
    axes.set(xlabel="text layers", ylabel="image layers", xticks=layers, yticks=layers)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(np.arange(1.5, grid.num_layers), minor=True)
    axes.set_yticks(np.arange(1.5, grid.num_layers), minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    return image


def _ink(background: Sequence[float]) -> str:
    red, green, blue = (round(255 * channel) for channel in background[:3])
    return heat.css(heat.ink((red, green, blue)))


def _caption(grid: ExitGrid) -> str:
    return (
        f"{where_measured(grid.about, grid.num_samples)}, the decoder at full depth. "
        "Small: expected reduction (Eq. 14). Framed: best of each reduction."
    )
