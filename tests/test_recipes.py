"""The recipes that come with the program."""

from pathlib import Path

import pytest

from mue_cli import recipe as recipes

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_folder_holds_the_default_recipes() -> None:
    assert set(recipes.DEFAULT_RECIPES.values()) <= {path.stem for path in FILES}


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
