"""Where the time goes, as stacked bars: one bar for each method, one piece for each part of the
model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

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
    YELLOW,
    figure_with_caption,
    save,
)

_COLOURS = {
    "ResNet": BLUE,
    "embedding": SKY,
    "encoder, image": ORANGE,
    "encoder, text": YELLOW,
    "encoder, joint": ORANGE,
    "cross K/V": PURPLE,
    "skipped K/V": "#8fd3c0",
    "decoder": GREEN,
    "head": VERMILLION,
    "rule": BLACK,
    "rest": "#d0d0d0",
}
_HEIGHT, _INCHES_A_BAR, _WIDTH = 1.35, 0.5, 8.2
_NARROW = 0.03
"""Share of the longest bar below which a piece has no room for its number."""


def breakdown(
    bars: Mapping[str, Mapping[str, float]], caption: str, path_stem: Path
) -> tuple[Path, Path]:
    """Draw a bar for each name, top down, its pieces in their order; return the paths of the PNG
    and the SVG.

    bars: name -> part -> milliseconds.
    """
    return save(breakdown_figure(bars, caption), path_stem)


@matplotlib.rc_context(STYLE)
def breakdown_figure(bars: Mapping[str, Mapping[str, float]], caption: str) -> Figure:
    """Return the figure unsaved; arguments as in `breakdown`."""
    figure, (axes,) = figure_with_caption(
        1, caption, _WIDTH, height=_HEIGHT + _INCHES_A_BAR * len(bars)
    )
    longest = max(sum(parts.values()) for parts in bars.values())
    for place, (name, parts) in enumerate(bars.items()):
        _draw_bar(axes, place, parts, longest)
        axes.text(-0.01 * longest, place, name, ha="right", va="center", fontsize=9)
    axes.set(
        xlim=(0, 1.09 * longest),
        ylim=(len(bars) - 0.5, -0.5),
        yticks=[],
        xlabel="time of a sample (ms)",
    )
    axes.grid(visible=False, axis="y")
    names = sorted({name for parts in bars.values() for name in parts}, key=_order)
    key = [Patch(**_look(name), label=name) for name in names]
    axes.legend(
        handles=key,
        loc="lower left",
        bbox_to_anchor=(-0.03, 1.0),
        ncols=5,
        columnspacing=1.2,
        handlelength=1.2,
    )
    figure.subplots_adjust(
        left=0.06 + 0.009 * max(map(len, bars)), top=1 - 0.5 / figure.get_figheight()
    )
    return figure


def _draw_bar(axes: Axes, place: int, parts: Mapping[str, float], longest: float) -> None:
    start = 0.0
    for name, ms in parts.items():
        look = _look(name)
        axes.barh(place, ms, left=start, height=0.62, **look)
        if ms > _NARROW * longest:
            axes.text(
                start + ms / 2,
                place,
                f"{ms:,.{_digits(longest)}f}",
                ha="center",
                va="center",
                fontsize=8,
                color=_ink(str(look["facecolor"])),
            )
        start += ms
    axes.text(
        start + 0.008 * longest,
        place,
        f"{start:,.{_digits(longest)}f}",
        va="center",
        fontsize=9,
        fontweight="bold",
    )


def _order(name: str) -> int:
    """Return a part's place in the key; the rest is last."""
    return list(_COLOURS).index(name) if name in _COLOURS else len(_COLOURS) - 2


def _look(name: str) -> dict[str, Any]:
    hatch = {"hatch": "////"} if name == "rest" else {}
    return {"facecolor": _COLOURS.get(name, GREY), "edgecolor": "white", "linewidth": 0.6, **hatch}


def _digits(longest: float) -> int:
    return 0 if longest >= 100 else 1 if longest >= 10 else 2


def _ink(colour: str) -> str:
    """Return black or white, whichever is read more easily on a colour."""
    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
