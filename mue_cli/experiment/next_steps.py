"""What to do next in a folder: the command lines that what lies there asks for. Nothing heavy is
imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.experiment.demo import QUICK
from mue_cli.experiment.run_folder import Run
from mue_cli.files import is_file
from mue_cli.recipe.names import find, names

MOST_RUNS = 3
"""Runs that are spoken of, the last used first."""


@dataclass(frozen=True)
class Step:
    """A command line and what it is for."""

    line: str
    reason: str


DEMO = Step("mue demo", "the same for real, in about ten minutes: it trains a small captioner")


def next_steps(folder: Path = Path()) -> list[Step]:
    """Return what to do next, the most likely first."""
    runs = _runs(folder / "runs")
    steps = [step for run in runs[:MOST_RUNS] for step in _of_run(run)]
    prepared = [path.parent.name for path in sorted((folder / "data").glob("*/manifest.json"))]
    if not runs:
        steps += [step for data in prepared for step in _of_data(data)]
    elif all(run.folder.name.endswith(QUICK) for run in runs):
        steps.append(DEMO)
    return steps or [
        Step("mue demo --quick", "every step on drawn scenes in a minute or two"),
        DEMO,
        Step("mue prepare flickr8k --download", "photographs with captions, 1.2 GB"),
        Step("mue bench --recipe coco-base --random base", "would exiting pay on this machine?"),
    ]


def _runs(folder: Path) -> list[Run]:
    """Return the run folders, the last used first."""
    try:
        folders = [path for path in folder.iterdir() if is_file(path / "recipe.yaml")]
        folders.sort(key=lambda path: (-path.stat().st_mtime, path.name))
    except OSError:
        return []
    return [Run(path, f"--run {path}") for path in folders]


def _of_run(run: Run) -> Iterator[Step]:
    """Yield the next step of a run: the one that what it holds asks for."""
    where = f"`{run.folder}`"
    if not run.checkpoint.exists():
        again = " --resume" if run.last_state.exists() else ""
        yield Step(run.command("finetune") + again, f"{where} is not trained yet")
    elif not run.thresholds.exists():
        yield Step(run.command("calibrate"), f"{where} is trained and has no thresholds")
    elif not run.records.exists():
        yield Step(run.command("evaluate"), f"{where} is calibrated and was not evaluated")
    else:
        yield Step(f"mue predict photo.jpg {run.arguments}", f"{where} is complete: use it")
        yield Step(run.command("report"), "its results on one page")


def _of_data(dataset: str) -> Iterator[Step]:
    """Yield the trainings that prepared data are for, by the names of the recipes."""
    from mue_cli.recipe.recipe import load

    for name in names():
        try:
            data = load(find(name)).data
        except MueError:
            continue
        if data.folder.name == dataset:
            yield Step(f"mue finetune --recipe {name}", f"`data/{dataset}` is prepared")
