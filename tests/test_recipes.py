"""The recipes that come with the program."""

from pathlib import Path

import pytest

from mue_cli.experiment.choices import DEMO_RECIPES
from mue_cli.recipe import recipe as recipes
from mue_cli.study.file import load

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_folder_holds_the_default_recipes() -> None:
    assert set(DEMO_RECIPES.values()) <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_named_after_its_file(path: Path) -> None:
    assert recipes.load(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipe_opens_with_a_comment_that_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_preset_and_its_changed_fields_exist(path: Path) -> None:
    from mue_cli.model.config import PRESETS, preset

    model = recipes.load(path).model
    assert (model.preset in PRESETS) != (model.weights is not None)
    preset(model.preset or "base", **model.config)


STUDIES = sorted((FOLDER / "studies").glob("*.yaml"))


def test_each_default_recipe_has_a_study_of_its_name() -> None:
    assert set(DEMO_RECIPES.values()) <= {path.stem for path in STUDIES}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_is_valid_and_named_after_its_file(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_opens_with_a_comment_that_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_method_of_a_study_begins_from_the_same_weights(path: Path) -> None:
    """A folder of the study, or the run that the recipe's model.weights names."""
    study = load(path)

    def beginning(folder: str) -> object:
        start = study.folders[folder].start
        return start or study.changed_recipe(study.folders[folder].settings).model.weights

    begun = {beginning(row.folder) for name, row in study.rows.items() if name != "small"}
    assert len(begun) == 1 and None not in begun


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_model_of_a_study_is_trained_for_as_many_steps(path: Path) -> None:
    study = load(path)

    def steps(name: str) -> int:
        folder = study.folders[name]
        return study.changed_recipe(folder.settings).training.steps + (
            steps(folder.start) if folder.start else 0
        )

    assert len({steps(row.folder) for row in study.rows.values()}) == 1


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_folder_of_a_study_is_evaluated_or_started_from(path: Path) -> None:
    study = load(path)
    assert set(study.folders) == {row.folder for row in study.rows.values()} | {
        each.start for each in study.folders.values() if each.start
    }
