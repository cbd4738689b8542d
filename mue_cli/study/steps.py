"""The steps of a study: procedures of `experiment/`, each with the command line that does the
same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.progress import Progress
from mue_cli.experiment.resolve import starting_from
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.counts import samples_in_words
from mue_cli.study.parts import SPLIT, Settings, Study, as_overrides

if TYPE_CHECKING:
    from mue_cli.reports.record import Record

Words = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One procedure. words: of the command line, without the leading `mue`. do: carries it out,
    tells its progress and returns the outcome in words.
    """

    words: Words
    do: Callable[[Progress], str]


def training(study: Study, here: Run, seed: int, name: str, start: Run | None) -> Step:
    """Return the training of a folder: from the first step, or on from where it was stopped."""
    folder = study.folders[name]
    resume = here.is_begun
    force = not resume and here.checkpoint.exists()  # killed between its checkpoint and last.pt
    settings = _settings(study, folder.settings)
    words = ["finetune", *_place(study, here), "--seed", str(seed), "--method", folder.method]
    words += ["--weights", str(start.folder)] if start else []
    words += [*_sets(settings), *(["--resume"] if resume else ["--force"] if force else [])]
    settings = [*starting_from(str(start.folder) if start else None), *settings]
    settings = [*settings, f"exits.method={folder.method}"]

    def do(progress: Progress) -> str:
        experiment = Experiment.open(
            study.recipe,
            here.folder,
            overrides=settings,
            seed=seed,
            trained=resume,
            progress=progress,
        )
        done = experiment.finetune(resume, force)
        return f"{done.checkpoint}: best {done.metric} {done.score:.1f}"

    return Step(tuple(words), do)


def heads(study: Study, here: Run, seed: int, name: str, force: bool) -> Step:
    """Return the training of a row's internal classifiers, on a model that stays as it is.

    force: although there are some, of another backbone or cut short.
    """
    row = study.rows[name]
    settings = _settings(study, row.second_stage)
    words = ["finetune", *_place(study, here), "--seed", str(seed), "--method", row.method]
    words += [*_sets(settings), *(["--force"] if force else [])]

    def do(progress: Progress) -> str:
        from mue_cli.experiment.second_stage import train_heads

        experiment = Experiment.open(
            study.recipe, here.folder, overrides=settings, seed=seed, progress=progress
        )
        done = train_heads(experiment, row.spec, force)
        return f"{done.exit_head}: best {done.metric} {done.score:.1f}"

    return Step(tuple(words), do)


def calibration(study: Study, here: Run, name: str) -> Step:
    """Return the search for a row's thresholds."""
    row = study.rows[name]
    settings = _settings(study, row.settings)
    words = ["calibrate", *_place(study, here), "--method", row.method]
    if row.target_reduction is not None:
        words += ["--target-reduction", f"{row.target_reduction:g}"]
    words += _sets(settings)

    def do(progress: Progress) -> str:
        experiment = Experiment.open(
            study.recipe, here.folder, overrides=settings, progress=progress
        )
        card = experiment.calibrate(row.target_reduction, row.method).thresholds
        limits = "  ".join(f"{stream} {value:.4f}" for stream, value in card.thresholds.items())
        return f"{limits}: expected reduction {card.achieved:.1%} on {card.split}"

    return Step(tuple(words), do)


def evaluation(study: Study, here: Run, name: str) -> Step:
    """Return the evaluation of a row, with its curve where it has one."""
    row = study.rows[name]
    settings = _settings(study, row.settings)
    sweep = row.sweep and row.spec.has_curve
    words = ["evaluate", *_place(study, here), "--method", row.method, "--row", name]
    words += ["--split", SPLIT, *(["--sweep"] if sweep else []), *_sets(settings)]

    def do(progress: Progress) -> str:
        from mue_cli.experiment.evaluate import evaluate

        experiment = Experiment.open(
            study.recipe, here.folder, overrides=settings, progress=progress
        )
        return _outcome(evaluate(experiment, row.method, SPLIT, sweep, row=name).record)

    return Step(tuple(words), do)


def _outcome(record: "Record") -> str:
    names = {"expected": "expected", "flops": "FLOPs", "measured": "measured"}
    saved = [
        f"{title} {record.costs[cost]:.1%}" for cost, title in names.items() if cost in record.costs
    ]
    score = f"{record.metric} {record.score:.1f}"
    return (
        f"{score} on {samples_in_words([record.num_samples])} of {record.split}; {', '.join(saved)}"
    )


def _place(study: Study, here: Run) -> list[str]:
    return ["--recipe", study.recipe, "--run", str(here.folder)]


def _settings(study: Study, settings: Settings) -> list[str]:
    return [*as_overrides(settings), *study.overrides]


def _sets(settings: Sequence[str]) -> list[str]:
    return list(chain.from_iterable(("--set", setting) for setting in settings))
