"""`mue recipes`: list, show, schema, check."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mue_cli.commands.app import app
from mue_cli.recipe import recipe as recipes
from mue_cli.recipe import sections
from mue_cli.recipe.explain import explained, schema
from mue_cli.schema.schema import field_docs

HEAD = "name: mine\ntask: caption\n"


def mue(*arguments: str):
    return CliRunner().invoke(app, ["recipes", *arguments])


def test_list_names_every_recipe_with_what_it_is() -> None:
    result = mue("list")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (result.exit_code, tuple(lines)) == (0, recipes.names())
    assert lines["shapes-caption"] == "Captions of drawn scenes"
    assert json.loads(mue("list", "--json").stdout) == lines


def test_shown_recipe_reads_back_as_the_same(tmp_path: Path) -> None:
    for options in ([], ["--explain"]):
        path = tmp_path / "shown.yaml"
        path.write_text(
            mue("show", "coco-base", *options, "--set", "seed=3").stdout, encoding="utf-8"
        )
        assert recipes.load(path) == recipes.load("coco-base", ["seed=3"])


def test_json_of_a_recipe_has_all_its_sections() -> None:
    document = json.loads(mue("show", "shapes-caption", "--json").stdout)
    assert document["training"]["learning_rate"] == 0.002
    assert document["calibration"]["max_evaluations"] == 24


def test_explained_recipe_says_of_each_field_what_it_does_and_may_be() -> None:
    text = explained(recipes.load("shapes-caption"))
    assert "  # Number of optimiser steps. (a whole number, at least 1)\n  steps: 1000\n" in text
    assert max(map(len, text.splitlines())) <= 100


def test_every_field_of_every_section_has_its_own_docstring() -> None:
    named = [item for name, item in vars(sections).items() if name.endswith("Section")]
    for section in [*named, sections.Recipe]:
        docs = field_docs(section)
        assert set(docs) == set(section.__dataclass_fields__), section.__name__
        assert len(set(docs.values())) == len(docs)


def test_schema_knows_keys_ranges_and_words_of_the_shipped_recipes() -> None:
    document = json.loads(mue("schema").stdout)
    assert document == schema()
    training = document["$defs"]["TrainingSection"]
    assert not training["additionalProperties"] and not document["additionalProperties"]
    assert training["properties"]["steps"]["minimum"] == 1
    assert training["properties"]["warmup"]["description"].startswith("Share of the steps")
    assert document["required"] == ["name", "task"]


def test_line_for_the_editor_is_a_comment_that_loading_ignores(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"# yaml-language-server: $schema=recipe.schema.json\n{HEAD}", encoding="utf-8")
    assert recipes.load(path).name == "mine"


def test_check_says_that_a_recipe_is_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD, encoding="utf-8")
    result = mue("check", str(path))
    assert result.exit_code == 0
    assert result.stderr == f"{path} is a recipe: mine, task caption, data shapes\n"


@pytest.mark.parametrize("command", ["check", "show"])
def test_wrong_recipe_is_refused_with_a_hint(tmp_path: Path, command: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "trainin: {steps: 3}\n", encoding="utf-8")
    result = mue(command, str(path))
    assert result.exit_code == 2
    assert f"error: unknown key `trainin` in `{path}`" in result.stderr
    assert "hint: did you mean `training`?" in result.stderr
