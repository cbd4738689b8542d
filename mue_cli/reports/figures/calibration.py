"""Promised against measured: what calibrations said on `val`, and what an evaluation showed."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mue_cli.reports.figures.canvas import (
    BLUE,
    GREY,
    ORANGE,
    STYLE,
    Label,
    figure_with_caption,
    label_points,
    save,
)
from mue_cli.reports.promises import Promise, Promises


def calibration(promises: Promises, path_stem: Path) -> tuple[Path, Path]:
    """Draw promised against measured reduction and score; return the paths of the PNG and the
    SVG.
    """
    return save(calibration_figure(promises), path_stem)


@matplotlib.rc_context(STYLE)
def calibration_figure(promises: Promises) -> Figure:
    """Return the figure unsaved."""
    text = (
        f"A point is one calibration ({promises.about}), named by its target; bar: 95 % interval "
        f"of the promise. Promised on val, measured on {promises.split}; on the line both agree. "
        f"Diamonds: certified.{_on_other_data(promises)}"
    )
    figure, panels = figure_with_caption(2, text, width=7.2, height=3.3)
    _draw_reductions(panels[0], promises)
    _draw_scores(panels[1], promises)
    return figure


def _on_other_data(promises: Promises) -> str:
    count = sum(each.other_data for each in promises.promises)
    of = f"{count} of {len(promises.promises)}"
    return f" Measured on other prepared data than promised on: {of}." if count else ""


def _draw_reductions(axes: Axes, promises: Promises) -> None:
    for each in promises.promises:
        x, y = 100.0 * each.reduction, 100.0 * each.measured_reduction
        if each.interval is not None:
            low, high = (100.0 * bound for bound in each.interval)
            axes.plot([low, high], [y, y], "-", color=BLUE, linewidth=1.2, alpha=0.7)
        axes.plot([x], [y], _marker(each), color=BLUE, markersize=6)
    _diagonal(axes)
    axes.set(xlabel="promised reduction (%)", ylabel="measured reduction (%)")
    label_points(
        axes,
        [
            Label(100.0 * each.reduction, 100.0 * each.measured_reduction, _name(each), BLUE)
            for each in promises.promises
        ],
    )


def _draw_scores(axes: Axes, promises: Promises) -> None:
    for each in promises.promises:
        x, y = 100.0 * each.score, 100.0 * each.measured_score
        axes.plot([x], [y], _marker(each), color=ORANGE, markersize=6)
    _diagonal(axes)
    what = f"{promises.metric} (% of full)"
    axes.set(xlabel=f"promised {what}", ylabel=f"measured {what}")


def _diagonal(axes: Axes) -> None:
    """Give both axes one range, and draw where promised and measured are the same."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], "--", color=GREY, linewidth=0.9, zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high))


def _marker(promise: Promise) -> str:
    return "D" if promise.certified else "o"


def _name(promise: Promise) -> str:
    return "max drop" if promise.target is None else f"{promise.target:g}"
