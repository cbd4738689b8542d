"""How a training went: loss of every decoder layer, validation score, speed and memory; or how
several went, side by side.
"""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mue_cli.reports.figures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    figure_with_caption,
    metric_label,
    save,
)
from mue_cli.reports.training_log import TrainingLog

_WIDTH, _HEIGHT = 7.6, 4.4
_POINTS = 200
"""Points of a line at most: each is the mean of the steps around it."""
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)


def training(log: TrainingLog, metric: str, about: str, path_stem: Path) -> tuple[Path, Path]:
    """Draw a training; return the paths of the PNG and the SVG. metric: of its scores. about: which
    training, in words.
    """
    return save(training_figure(log, metric, about), path_stem)


@matplotlib.rc_context(STYLE)
def training_figure(log: TrainingLog, metric: str, about: str) -> Figure:
    """Return the figure unsaved."""
    width = max(len(log.steps) // _POINTS, 1)
    smooth = f" Lines: means of {width} steps." if width > 1 else ""
    caption = f"{about}: {log.steps[-1]:,} steps.{smooth}"
    figure, panels = figure_with_caption(4, caption, _WIDTH, _HEIGHT, rows=2)
    _draw_losses(panels[0], log, width)
    _draw_scores(panels[1], log, metric)
    speed, memory = smoothed(log.samples_per_second, width), log.memory_mb[::width]
    _draw_line(panels[2], smoothed(log.steps, width), speed, "samples / s", BLUE)
    _draw_line(panels[3], log.steps[::width], memory, "memory (MB)", VERMILLION)
    for axes in panels[2:]:
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
    return figure


def trainings(logs: Mapping[str, TrainingLog], metric: str, path_stem: Path) -> tuple[Path, Path]:
    """Draw several trainings, by name; return the paths of the PNG and the SVG."""
    return save(trainings_figure(logs, metric), path_stem)


@matplotlib.rc_context(STYLE)
def trainings_figure(logs: Mapping[str, TrainingLog], metric: str) -> Figure:
    """Return the figure unsaved: a line of each training in every panel."""
    longest = max(len(log.steps) for log in logs.values())
    width = max(longest // _POINTS, 1)
    smooth = f" Lines: means of {width} steps." if width > 1 else ""
    caption = f"{len(logs)} trainings, up to {longest:,} steps; loss: what was trained on.{smooth}"
    figure, panels = figure_with_caption(4, caption, _WIDTH, _HEIGHT, rows=2)
    loss, scores, speed, memory = panels
    for (name, log), colour in zip(logs.items(), cycle(_COLOURS)):
        steps = smoothed(log.steps, width)
        _draw_line(loss, steps, smoothed(log.loss, width), "loss", colour, name)
        if log.scores:
            x, y = np.array(log.scores, dtype=float).T
            _draw_line(scores, x, y, metric_label(metric), colour, name, marker="o")
        rates = smoothed(log.samples_per_second, width)
        _draw_line(speed, steps, rates, "samples / s", colour, name)
        mega = log.memory_mb[::width]
        _draw_line(memory, log.steps[::width], mega, "memory (MB)", colour, name)
    loss.legend(loc="upper right", fontsize=7, handlelength=1.4)
    scores.set_ylabel(metric_label(metric))
    for axes in (speed, memory):
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
    return figure


def smoothed(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Return the means of groups of values, (T, ...) -> (ceil(T / width), ...); the last group may
    be smaller.
    """
    groups = [values[start : start + width] for start in range(0, len(values), width)]
    return np.array([np.mean(group, axis=0, dtype=float) for group in groups])


def _draw_losses(axes: Axes, log: TrainingLog, width: int) -> None:
    steps, num_layers = smoothed(log.steps, width), log.layer_losses.shape[1]
    shades = matplotlib.colormaps["cividis"](np.linspace(0.1, 0.9, max(num_layers, 1)))
    for layer, colour in enumerate(shades[:num_layers]):
        losses = smoothed(log.layer_losses[:, layer], width)
        if np.isfinite(losses).any():
            axes.plot(steps, losses, color=colour, linewidth=1.2, label=f"layer {layer + 1}")
    style = "--" if axes.get_lines() else "-"
    loss = smoothed(log.loss, width)
    axes.plot(steps, loss, color=BLACK, linewidth=1.0, linestyle=style, label="trained on")
    axes.set_ylabel("loss")
    axes.legend(loc="upper right", ncols=2, fontsize=7, handlelength=1.4)


def _draw_scores(axes: Axes, log: TrainingLog, metric: str) -> None:
    axes.set_ylabel(metric_label(metric))
    if not log.scores:
        axes.text(0.5, 0.5, "no validation yet", transform=axes.transAxes, ha="center")
        return
    steps, scores = zip(*log.scores, strict=True)
    best = int(np.argmax(scores))
    axes.plot(steps, scores, "-o", color=GREEN, markersize=4, linewidth=1.4, label="validation")
    axes.plot([steps[best]], [scores[best]], "o", color=GREEN, markersize=8, label="best")
    axes.set_title(f"best {scores[best]:.1f} at step {steps[best]:,}", fontsize=8)


def _draw_line(
    axes: Axes,
    x: NDArray[Any],
    y: NDArray[Any],
    what: str,
    colour: str,
    name: str | None = None,
    marker: str | None = None,
) -> None:
    """Draw a line of `what`; name: in the legend, another than that."""
    label = name or what
    axes.plot(x, y, color=colour, linewidth=1.2, label=label, marker=marker, markersize=4)
    axes.set_ylabel(what)
