"""The frontier of a calibration: the score of its settings by what they save."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.figures.canvas import BLUE, GREY, STYLE, VERMILLION, figure_with_caption, save
from mue_cli.reports.promises import Frontier, Place


def frontier(drawn: Frontier, path_stem: Path) -> tuple[Path, Path]:
    """Draw the settings that were tried and those that no other beats; return the paths of the PNG
    and the SVG.
    """
    return save(frontier_figure(drawn), path_stem)


@matplotlib.rc_context(STYLE)
def frontier_figure(drawn: Frontier) -> Figure:
    """Return the figure unsaved."""
    text = (
        f"Grey: settings on the {samples_in_words([drawn.num_samples])} of the search. Line: those "
        "that no other beats. Cross: the choice, on fresh samples; the best of many settings is "
        "partly lucky on the samples that it was picked on."
    )
    if drawn.marks:
        text += (
            " Dashed: what the oracle saves, which leaves every answer as it is, and the best "
            "fixed layers within 1 % of the full model's score."
        )
    figure, (axes,) = figure_with_caption(1, text, width=4.6, height=3.2)
    axes.plot(*_percent(drawn.tried), "o", color=GREY, markersize=3.5, alpha=0.6)
    axes.plot(*_percent(drawn.best), "-o", color=BLUE, markersize=4.5, linewidth=1.4)
    axes.plot(*_percent([drawn.chosen]), "X", color=VERMILLION, markersize=8)
    for name, reduction in drawn.marks.items():
        axes.axvline(100.0 * reduction, color=GREY, linewidth=0.8, linestyle="--")
        place = (100.0 * reduction, 0.02)
        axes.annotate(
            name, place, xycoords=("data", "axes fraction"), rotation=90, fontsize=7, ha="right"
        )
    axes.set(xlabel="reduction (%)", ylabel=f"{drawn.metric} (% of full)")
    return figure


def _percent(places: Sequence[Place]) -> tuple[list[float], list[float]]:
    """Reductions and shares in percent."""
    return [100.0 * reduction for reduction, _ in places], [100.0 * score for _, score in places]
