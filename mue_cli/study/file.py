"""A study's file, and the folders that it fills.

runs/<recipe>/study/
    study.yaml                   the study, defaults and overrides included
    seed-<K>/finished.json       what was finished, for the next call
    seed-<K>/<folder>/           an ordinary run folder for each training
"""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mue_cli.errors import RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.files import is_first_process, write_text
from mue_cli.recipe import recipe as recipes
from mue_cli.schema.schema import build, show
from mue_cli.study.checks import check
from mue_cli.study.defaults import with_defaults
from mue_cli.study.journal import Journal
from mue_cli.study.parts import Settings, Study


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Return the study of a file, or of a name such as "shapes-caption".

    overrides: "section.key=value" each, for every folder and row. Raises RecipeError, naming key
    and place.
    """
    return _read(recipes.find(name_or_path, "study"), overrides)


def kept(run: Run) -> Study | None:
    """Return the study of a run folder, None when it has none. Raises RecipeError for a file edited
    into nonsense.
    """
    return _read(study_file(run)) if study_file(run).is_file() else None


def check_same(run: Run, study: Study) -> None:
    """Raise RecipeError when the run folder holds another study, or this one with other overrides:
    their rows would be mixed.
    """
    before = kept(run)
    if before is None:
        return
    if (before.name, before.recipe) != (study.name, study.recipe):
        message = f"`{run.study}` holds the study {show(before.name)} of the recipe {before.recipe}"
        raise RecipeError(message, "name another folder with --run")
    if _values(before) != _values(study):
        message = f"`{run.study}` was made with {_sets(before)}, now it is {_sets(study)}"
        raise RecipeError(
            message, "rows of both would be mixed: remove that folder, or name another with --run"
        )


def keep(run: Run, study: Study) -> None:
    """Write study.yaml; of the processes of `torchrun`, the first."""
    if not is_first_process():
        return
    write_text(study_file(run), recipes.to_yaml(asdict(study)))


def study_run(study: Study, folder: Path | None = None) -> Run:
    """Return the run folder that a study belongs to: runs/<recipe> unless another one is named."""
    arguments = ["--recipe", study.recipe, *(["--run", str(folder)] if folder else [])]
    return Run(folder or Path("runs") / recipes.load(study.recipe).name, shlex.join(arguments))


def study_file(run: Run) -> Path:
    """Return where the study of a run folder is kept."""
    return run.study / "study.yaml"


def study_command(run: Run) -> str:
    """Return the command line that goes on with the study of a run folder, overrides and all."""
    return shlex.join(["mue", "study", str(study_file(run)), "--run", str(run.folder)])


def seed_folder(run: Run, seed: int) -> Path:
    """Return where all is that one seed trains."""
    return run.study / f"seed-{seed}"


def journal(run: Run, seed: int) -> Journal:
    """Return the journal of one seed."""
    return Journal(seed_folder(run, seed) / "finished.json")


def seeds(run: Run) -> list[int]:
    """Return the seeds that have a folder."""
    numbers = [path.name.removeprefix("seed-") for path in run.study.glob("seed-*")]
    return sorted(int(number) for number in numbers if number.isdecimal())


def trained_run(run: Run, seed: int, folder: str) -> Run:
    """Return the run folder of one training of a study."""
    path = seed_folder(run, seed) / folder
    return Run(path, shlex.join(["--run", str(path)]))


def decomposed_run(run: Run) -> Run | None:
    """Return the first run folder of a run's study whose rows encode image and text apart, None
    without one.
    """
    study = kept(run)
    for row in study.rows.values() if study else ():
        if study and study.changed_recipe(study.folders[row.folder].settings).model.decompose:
            return trained_run(run, (seeds(run) or study.seeds)[0], row.folder)
    return None


def _read(path: Path, overrides: Sequence[str] = ()) -> Study:
    study = build(Study, with_defaults(recipes.read_yaml(path)), lambda _: f"`{path}`")
    study = replace(study, overrides=(*study.overrides, *overrides))
    recipes.load(study.recipe, study.overrides)
    study = _without_overridden(study)
    check(study, f"`{path}`")
    return study


def _values(study: Study) -> dict[str, str]:
    """Return what the overrides say: setting -> value; of the same one the last wins."""
    pairs = (override.partition("=") for override in study.overrides)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sets(study: Study) -> str:
    return " ".join(f"--set {override}" for override in study.overrides) or "no --set"


def _without_overridden(study: Study) -> Study:
    """Leave out the settings that an override replaces: a row's settings are those that its record
    will state.
    """
    gone = {override.partition("=")[0].strip() for override in study.overrides}

    def rest(settings: Settings) -> Settings:
        return {key: value for key, value in settings.items() if key not in gone}

    folders = {
        name: replace(folder, settings=rest(folder.settings))
        for name, folder in study.folders.items()
    }
    rows = {
        name: replace(row, settings=rest(row.settings), second_stage=rest(row.second_stage))
        for name, row in study.rows.items()
    }
    return replace(study, folders=folders, rows=rows)
