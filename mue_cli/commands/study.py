"""`mue study`: all rows of the paper's tables, trained and evaluated by one recipe."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.lines import spelled
from mue_cli.experiment.choices import DEFAULT_RECIPE

if TYPE_CHECKING:
    from mue_cli.experiment.run_folder import Run
    from mue_cli.study.parts import Study
    from mue_cli.study.plan import RowPlan
    from mue_cli.study.steps import Step

EXAMPLES = (
    "mue study --dry-run",
    "mue study",
    "mue study shapes-entailment --seeds 1",
    "mue study --only full,mue,oracle --seeds 2,",
    "mue study --seeds 3,4 --set evaluation.samples=200 --run runs/quick",
)


StudyArgument = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Study: a name or a YAML file.")
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        metavar="K,K,...|N",
        help="As 0,1,2, or how many, as 3; one alone: 2,",
    ),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(metavar="ROW,...", help="Rows to train and evaluate, else all."),
]
StudyRunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="FOLDER", help="Folder of study/, else runs/<recipe name>."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the command lines, and run none.")
]


def study(
    name: StudyArgument = DEFAULT_RECIPE,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    run: StudyRunOption = None,
    overrides: options.Set = None,
    dry_run: DryRunOption = False,
    as_json: options.Json = False,
) -> None:
    """Train and evaluate every row of the paper's tables, for every seed.

    Before every step the command line that does the same is printed. Reads the study and the
    prepared data. Writes study.yaml and a run folder for each training, `seed-<K>/<folder>`, to
    `runs/<recipe>/study`. Run again, it goes on where it stopped: what is done is not done again.
    """
    from mue_cli.study.file import check_same, keep, load, study_run
    from mue_cli.study.plan import plan
    from mue_cli.study.selection import wanted_rows, wanted_seeds

    wanted = load(name, overrides or [])
    here = study_run(wanted, run)
    check_same(here, wanted)
    some_seeds, rows = wanted_seeds(seeds, wanted.seeds), wanted_rows(only, tuple(wanted.rows))
    plans = plan(wanted, here, some_seeds, rows)
    if dry_run:
        _show_lines(plans, as_json)
        return
    from mue_cli.experiment.lock import holding
    from mue_cli.study.progress import carry_out, need_data

    if any(row.tasks for row in plans):
        need_data(wanted)

    with holding(here.study, "study"):
        keep(here, wanted)
        with _talking(as_json):
            carry_out(plans, run_step, say)
    _show(wanted, here, as_json)


def run_step(step: "Step") -> None:
    """Print the command line that does the same, carry out a step, and print its outcome."""
    answer(f"\n$ {spelled(step.words)}")
    with bars() as tell:
        outcome = step.do(tell)
    answer(outcome)


@contextlib.contextmanager
def _talking(as_json: bool) -> Iterator[None]:
    """Let stdout hold the document alone: what the lines answer is talk then."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


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
    from mue_cli.study import entries, notes
    from mue_cli.study.parts import SPLIT

    evaluated = [entry for entry in entries(here, SPLIT) if not entry.swept]
    for note in notes(here, SPLIT):
        say(f"note: {note.text}")
    if as_json:
        answer_json(
            {
                "study": study.name,
                "folder": str(here.study),
                "rows": [asdict(entry) for entry in evaluated],
            }
        )
        return
    answer(
        f"\n{here.study}: {len({entry.row for entry in evaluated})} rows, "
        f"{len({entry.seed for entry in evaluated})} seeds"
    )
    for command in ("table 1", "plot tradeoff"):
        say(f"next: {here.command(command)}")
