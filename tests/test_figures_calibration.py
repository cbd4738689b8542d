"""Promised against measured, drawn."""

from dataclasses import replace

import pytest

from mue_cli.reports.figures.calibration import calibration_figure
from mue_cli.reports.promises import Interval, Promise, Promises

PROMISE = Promise(0.4, 0.42, (0.38, 0.46), 0.97, 0.41, 0.95)


@pytest.mark.parametrize(("interval", "bars"), [((0.38, 0.46), 1), (None, 0)])
def test_promise_has_a_bar_where_its_interval_is_known(
    interval: Interval | None, bars: int
) -> None:
    drawn = Promises([replace(PROMISE, interval=interval)], "CIDEr", "test", "mue, shapes")
    reductions, _ = calibration_figure(drawn).axes
    lines = [[round(x, 6) for x in line.get_xdata()] for line in reductions.get_lines()]
    assert lines.count([38.0, 46.0]) == bars
    assert [42.0] in lines, "the promise itself"
