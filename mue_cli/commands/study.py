"""`mue study`: all rows of the paper's tables, trained and evaluated by one recipe."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.lines import spelled
from mue_cli.commands.options import JsonOption
from mue_cli.errors import MueError
from mue_cli.experiment.choices import DEFAULT_RECIPE

if TYPE_CHECKING:
    from mue_cli.experiment.run_folder import Run
    from mue_cli.study.parts import Study
    from mue_cli.study.plan import RowPlan
    from mue_cli.study.steps import Step

EXAMPLES = """Examples

mue study --dry-run

mue study

mue study shapes-entailment --seeds 1

mue study --only full,mue,oracle --seeds 2,

mue study --seeds 3,4 --set evaluation.samples=200 --run runs/quick"""

Runner = Callable[["Step"], None]

StudyArgument = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Study: a name or a YAML file.")
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        metavar="K,K,...|N",
        show_default="the study's",
        help="Seeds, as 0,1,2, or how many from 0 on, as 3. One seed alone: 2,",
    ),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(metavar="ROW,...", show_default="all rows", help="Rows to train and evaluate."),
]
StudyRunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="FOLDER",
        show_default="runs/<recipe name>",
        help="Folder that study/ is written to.",
    ),
]
StudySetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        help="Replace one value of the recipe in every line. May be repeated.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the command lines that would run, and run none.")
]


def study(
    name: StudyArgument = DEFAULT_RECIPE,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    run: StudyRunOption = None,
    overrides: StudySetOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train and evaluate every row of the paper's tables, for every seed.

    Before every step the command line that does the same is printed. Reads the study and the
    prepared data. Writes study.yaml and a run folder for each training, `seed-<K>/<folder>`, to
    `runs/<recipe>/study`. Run again, it goes on where it stopped: what is done is not done again.
    """
    from mue_cli.study.file import check_same, keep, load, study_run
    from mue_cli.study.plan import plan

    wanted = load(name, overrides or [])
    here = study_run(wanted, run)
    check_same(here, wanted)
    some_seeds, rows = wanted_seeds(seeds, wanted.seeds), wanted_rows(only, tuple(wanted.rows))
    plans = plan(wanted, here, some_seeds, rows)
    if dry_run:
        _show_lines(plans, as_json)
        return
    if any(row.tasks for row in plans):
        _need_data(wanted)
    from mue_cli.experiment.lock import holding

    with holding(here.study, "study"):
        keep(here, wanted)
        with _talking(as_json):
            carry_out(plans, run_step)
    _show(wanted, here, as_json)


MOST_SEEDS = 1000
"""Seeds that one number can ask for."""


def wanted_seeds(text: str | None, known: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds that `--seeds` means. Raises MueError for anything but whole numbers, each
    once.
    """
    if text is None:
        return tuple(known)
    words = [word.strip() for word in text.removesuffix(",").split(",")]
    if (
        not all(word.isdecimal() and len(word) < 19 for word in words)
        or len({int(word) for word in words}) < len(words)
        or text.strip() == "0"
        or ("," not in text and int(words[0]) > MOST_SEEDS)
    ):
        raise MueError(
            f"cannot read `--seeds {text[:60]}`",
            "write different seeds as 0,1,2, or how many from 0 on, as 3; seed 0 alone is 1 or 0,",
        )
    numbers = tuple(int(word) for word in words)
    return numbers if "," in text else tuple(range(numbers[0]))


def wanted_rows(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the rows that `--only` names, in the study's order. Raises MueError for one that the
    study does not have.
    """
    from mue_cli.schema.schema import did_you_mean

    names = known if text is None else tuple(word.strip() for word in text.split(","))
    for name in names:
        if name not in known:
            raise MueError(f"the study has no row `{name}`", did_you_mean(name, known, "rows"))
    return tuple(name for name in known if name in names)


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


def carry_out(plans: "Sequence[RowPlan]", runner: Runner) -> None:
    """Carry out the steps of all plans and note in each seed's journal what was finished. What
    stops one comes through, after the name of its row.
    """
    clock = Clock()
    for place, row in enumerate(plans):
        names = [other.name for other in plans if other.seed == row.seed]
        title = f"row {names.index(row.name) + 1} of {len(names)}, seed {row.seed}"
        if not row.tasks:
            say(f"{title}: {row.name}, done before")
            continue
        left = clock.left([task.words for later in plans[place:] for task in later.tasks])
        say(f"\n{title}{'' if left is None else f', about {duration(left)} left'}: {row.name}")
        with _naming(row):
            _run_row(row, runner, clock)


def duration(seconds: float) -> str:
    """Return a time as people say it: "12 min", "3.5 h"."""
    return f"{max(seconds / 60, 1):.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def run_step(step: "Step") -> None:
    """Print the command line that does the same, carry out a step, and print its outcome."""
    answer(f"\n$ {spelled(step.words)}")
    with bars() as tell:
        outcome = step.do(tell)
    answer(outcome)


def _run_row(row: "RowPlan", runner: Runner, clock: Clock) -> None:
    for task in row.tasks:
        started = time.monotonic()
        row.journal.note(task.key, task.begun)
        runner(task.step)
        row.journal.note(task.key, task.finished())
        clock.add(task.words, time.monotonic() - started)


@contextlib.contextmanager
def _naming(row: "RowPlan") -> Iterator[None]:
    """Say which row it was when something stops the study."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"in row `{row.name}`, seed {row.seed}; the same command goes on there"
        ) from None
    except BaseException:
        say(
            f"the study stopped in row `{row.name}`, seed {row.seed}; the same command goes on "
            "there"
        )
        raise


@contextlib.contextmanager
def _talking(as_json: bool) -> Iterator[None]:
    """Let stdout hold the document alone: what the lines answer is talk then."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def _need_data(study: "Study") -> None:
    """Raise MissingStepError before `mue prepare`."""
    # Here, because pyarrow takes long to import and a typo should not.
    from mue_cli.data.store.prepared import PreparedData

    for folder in study.folders.values():
        PreparedData.open(study.changed_recipe(folder.settings).data.folder)


def _show_lines(plans: "Sequence[RowPlan]", as_json: bool) -> None:
    lines = [spelled(task.words) for row in plans for task in row.tasks]
    if as_json:
        answer_json({"lines": lines})
        return
    for line in lines:
        answer(line)
    if not lines:
        say("all is done")


def _show(study: "Study", here: "Run", as_json: bool) -> None:
    from mue_cli.study import entries
    from mue_cli.study.parts import SPLIT

    found = [entry for entry in entries(here, SPLIT) if not entry.swept]
    if as_json:
        answer_json(
            {
                "study": study.name,
                "folder": str(here.study),
                "rows": [asdict(entry) for entry in found],
            }
        )
        return
    answer(
        f"\n{here.study}: {len({entry.row for entry in found})} rows, "
        f"{len({entry.seed for entry in found})} seeds"
    )
    for command in ("table 1", "plot tradeoff"):
        say(f"next: {here.command(command)}")
