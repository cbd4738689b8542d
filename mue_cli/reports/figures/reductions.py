"""The three reductions of every method side by side: layers, FLOPs and the clock."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mue_cli.errors import MissingStepError
from mue_cli.exits.catalogue import FULL, ORACLE
from mue_cli.reports import curves
from mue_cli.reports.curves import Spread
from mue_cli.reports.entries import Entry, check_alike
from mue_cli.reports.figures.canvas import (
    BLACK,
    GREY,
    STYLE,
    dark,
    figure_with_caption,
    save,
)
from mue_cli.reports.figures.rows import Look, look_of
from mue_cli.reports.tradeoff_caption import data_and_seeds

_WIDTH, _INCHES_A_ROW, _HEIGHT = 6.2, 0.34, 1.15
_COSTS = {"expected": "expected (Eq. 14)", "flops": "FLOPs", "measured": "measured time"}
_MARKERS = {"expected": "|", "flops": "o", "measured": "D"}


def reductions(entries: Sequence[Entry], path_stem: Path) -> tuple[Path, Path]:
    """Draw what every calibrated method saves of the layers, the operations and the time; return
    the paths of the PNG and the SVG.

    Raises MissingStepError where no method that exits was evaluated.
    """
    return save(reductions_figure(entries), path_stem)


@matplotlib.rc_context(STYLE)
def reductions_figure(entries: Sequence[Entry]) -> Figure:
    """Return the figure unsaved."""
    chosen = [
        entry
        for entry in entries
        if not (entry.swept or entry.is_variant or entry.row in (FULL.name, ORACLE))
    ]
    if not chosen:
        raise MissingStepError(
            "there is no record of a method that exits", "`mue evaluate` writes records"
        )
    check_alike(chosen, "figure")
    rows = list(dict.fromkeys(entry.row for entry in chosen))
    shown = [name for name in _COSTS if any(name in entry.record.costs for entry in chosen)]
    several = curves.num_seeds(chosen) > 1 and "measured" in shown
    spread = "; bars: measured time over the seeds" if several else ""
    caption = f"{data_and_seeds(chosen)}; every method at its calibrated setting{spread}."
    height = _HEIGHT + _INCHES_A_ROW * len(rows)
    figure, (axes,) = figure_with_caption(1, caption, _WIDTH, height)
    for place, row in enumerate(rows):
        _draw_row(axes, place, [entry for entry in chosen if entry.row == row])
    _finish(axes, rows, shown)
    longest = max(len(look_of(row).name) for row in rows)
    figure.subplots_adjust(
        left=(0.35 + 0.075 * longest) / _WIDTH, top=1 - 0.42 / figure.get_figheight()
    )
    return figure


def _draw_row(axes: Axes, place: int, entries: Sequence[Entry]) -> None:
    look = look_of(entries[0].row)
    spreads: dict[str, Spread] = {}
    for name in _COSTS:
        costs = [curves.cost(name)(entry) for entry in entries]
        values = [value for value in costs if value is not None]
        if values:
            spreads[name] = Spread.of(values)
    ends = [spread.mean for spread in spreads.values()]
    axes.plot([min(ends), max(ends)], [place] * 2, color=look.colour, alpha=0.45, linewidth=1.2)
    if "measured" in spreads:
        _draw_range(axes, place, spreads["measured"], look)
    for name, spread in spreads.items():
        size = 13.0 if name == "expected" else 7.0
        axes.plot(
            [spread.mean],
            [place],
            label=f"{look.name} {name}",
            **_marker(name, look.colour, size),
        )


def _draw_range(axes: Axes, place: int, spread: Spread, look: Look) -> None:
    if spread.high > spread.low:
        ends = [spread.low, spread.high]
        axes.plot(ends, [place] * 2, color=look.colour, linewidth=3.5, alpha=0.25, zorder=1.5)


def _marker(name: str, colour: str, size: float) -> dict[str, Any]:
    """Return the look of a cost: a stroke for layers, hollow for FLOPs, filled for the clock."""
    face = "white" if name == "flops" else colour
    return {
        "marker": _MARKERS[name],
        "markersize": size,
        "markerfacecolor": face,
        "markeredgecolor": colour,
        "markeredgewidth": 1.8 if name == "expected" else 1.2,
        "linestyle": "",
        "zorder": 3,
    }


def _finish(axes: Axes, rows: Sequence[str], shown: Sequence[str]) -> None:
    """Name the rows, and put zero, the axis and the key in place."""
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="reduction against the full model (%)")
    axes.set_yticks(range(len(rows)), [look_of(row).name for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(dark(look_of(row).colour))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.margins(x=0.06)
    key = [
        Line2D([], [], label=label, **_marker(name, BLACK, 11.0 if name == "expected" else 6.5))
        for name, label in _COSTS.items()
        if name in shown
    ]
    axes.legend(handles=key, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
