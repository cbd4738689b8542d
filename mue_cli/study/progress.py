"""A study carried out: its steps one after the other, what was finished noted, the time left."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean

from mue_cli.data.store.prepared import PreparedData
from mue_cli.experiment.models import find_device
from mue_cli.study.parts import Study
from mue_cli.study.plan import RowPlan
from mue_cli.study.steps import Step
from mue_cli.training.processes import ending_together, join

Runner = Callable[[Step], None]
"""Carries out one step and shows what came of it."""
Say = Callable[[str], None]
"""Shows a line of talk."""


@dataclass
class Clock:
    """How long the lines took so far, by command, and with that what the others will take."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, words: Sequence[str], seconds: float) -> None:
        self.seconds.setdefault(words[0], []).append(seconds)

    def left(self, lines: Sequence[Sequence[str]]) -> float | None:
        """Return the seconds that lines will take, None before the first one ran."""
        known = {command: fmean(each) for command, each in self.seconds.items()}
        if not known:
            return None
        return sum(known.get(words[0], fmean(known.values())) for words in lines)


def carry_out(plans: Sequence[RowPlan], runner: Runner, say: Say) -> None:
    """Carry out the steps of all plans and note in each seed's journal what was finished. What
    stops one comes through, after the name of its row.
    """
    clock, processes = Clock(), join(find_device("auto"))
    with ending_together(processes):
        processes.wait()  # all have planned before any begins
        _carry_out(plans, runner, say, clock, processes.writes)


def _carry_out(
    plans: Sequence[RowPlan], runner: Runner, say: Say, clock: Clock, writes: bool
) -> None:
    for place, row in enumerate(plans):
        names = [other.name for other in plans if other.seed == row.seed]
        title = f"row {names.index(row.name) + 1} of {len(names)}, seed {row.seed}"
        if not row.tasks:
            say(f"{title}: {row.name}, done before")
            continue
        left = clock.left([task.words for later in plans[place:] for task in later.tasks])
        say(f"\n{title}{'' if left is None else f', about {duration(left)} left'}: {row.name}")
        with _naming(row, say):
            _run_row(row, runner, clock, writes)


def duration(seconds: float) -> str:
    """Return a time as people say it: "12 min", "3.5 h"."""
    return f"{max(seconds / 60, 1):.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def _run_row(row: RowPlan, runner: Runner, clock: Clock, writes: bool) -> None:
    for task in row.tasks:
        started = time.monotonic()
        if writes:
            row.journal.note(task.key, task.begun)
        runner(task.step)
        if writes:
            row.journal.note(task.key, task.finished())
        clock.add(task.words, time.monotonic() - started)


@contextmanager
def _naming(row: RowPlan, say: Say) -> Iterator[None]:
    """Say which row it was when something stops the study."""
    try:
        yield
    except KeyboardInterrupt as stop:  # its kind says which signal it was
        stop.args = (f"in row `{row.name}`, seed {row.seed}; the same command goes on there",)
        raise
    except BaseException:
        say(
            f"the study stopped in row `{row.name}`, seed {row.seed}; the same command goes on "
            "there"
        )
        raise


def need_data(study: Study) -> None:
    """Raise MissingStepError before `mue prepare`."""
    for folder in study.folders.values():
        PreparedData.open(study.changed_recipe(folder.settings).data.folder)
