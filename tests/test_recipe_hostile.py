"""Recipes that nobody would write by hand: each refused in one line with a hint, at once."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.errors import RecipeError
from mue_cli.recipe import recipe as recipes
from mue_cli.recipe.overrides import Override
from mue_cli.recipe.yaml_text import parse

HEAD = "name: mine\ntask: caption\n"


def refusal(text: str | bytes, folder: Path, *overrides: str | Override) -> str:
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.process_time()
    with pytest.raises(RecipeError) as caught:
        recipes.load(path, overrides)
    assert time.process_time() - began < 5
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    assert len(caught.value.message) < 400
    return caught.value.message.replace(str(path), "FILE")


def bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 3000, "nested more than 50 deep"),
        (HEAD + "model: " + "{a: " * 1500 + "1" + "}" * 1500, "nested more than 50 deep"),
        ("\n".join(" " * level + "a:" for level in range(200)), "nested more than 50 deep"),
        (bomb(), "more than 100000 values"),
        (HEAD + bomb().replace("a8: &a8", "seed:"), "more than 100000 values"),
        ("name: &a [*a]\n", "an alias stands within what it names"),
        (HEAD + "seed: !!int ''\n", '"" cannot be read as !!int'),
        (HEAD + "exits: {tau: !!float ''}\n", '"" cannot be read as !!float'),
        (HEAD + "seed: !!bool x\n", '"x" cannot be read as !!bool'),
        (HEAD + "seed: !!timestamp x\n", '"x" cannot be read as !!timestamp'),
        (HEAD + f"seed: {'9' * 5000}\n", "cannot be read as !!int"),
        (HEAD + "? [a, b]\n: 1\n", "unhashable key"),
        (HEAD + "a: *nowhere\n", "undefined alias"),
        (HEAD + "a: \x00\n", "UTF-8"),
        (HEAD + "a: \x07\n", "special characters are not allowed"),
        (HEAD + "--- \nname: b\n", "but found another document"),
        ((HEAD + "a: ü\n").encode("latin-1"), "byte 0xfc in line 3"),
        (HEAD.encode("utf-16-le"), "byte 0x00"),
        (b"\xff\xfe" + b"a", "not UTF-16 text"),
    ],
)
def test_hostile_yaml_is_one_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in refusal(text, tmp_path)


def test_brackets_are_counted_before_they_are_read_and_quoted_ones_are_text() -> None:
    assert parse("[" * 50 + "]" * 50, "here") and parse("'" + "[" * 99 + "'", "here") == "[" * 99
    for text, column in (("[" * 100_000, 51), ("- 1\n- " + "[ {" * 30_000, 78)):
        with pytest.raises(RecipeError, match=f"column {column}: nested more than 50 deep"):
            parse(text, "here")


@pytest.mark.parametrize(
    ("override", "found"),
    [
        (f"exits.tau={'9' * 400}", "999..., expected a number, at least 0"),
        ("seed=-1", "is -1, expected a whole number, at least 0"),
        (f"seed={2**64}", f"is {2**64}, expected a whole number, at most {2**63 - 1}"),
        (
            "training.steps=99999999999",
            "is 99999999999, expected a whole number, at most 2147483647",
        ),
        ("search.length_penalty=2000", "is 2000, expected a number, from -10 to 10"),
        ("search.length_penalty=-1e308", "expected a number, from -10 to 10"),
        ("search.temperature=1e-45", "is 1e-45, expected a number, from 0.001 to 1000"),
        ("data.image_size=8", "is 8, expected a whole number, from 16 to 4096"),
        ("data.image_size=1e9", "expected a whole number, from 16 to 4096"),
        ("exits.image=.inf", "is inf, expected a number or null"),
        ("name=2020-01-01x/", "expected letters, digits, dots and dashes"),
        ("name=" + "n" * 200, "expected letters, digits, dots and dashes"),
        ('name="a\\nb"', 'is "a\\nb", expected letters'),
        ("training.steps=\uff15", 'is "\uff15", expected a whole number'),
    ],
)
def test_hostile_number_is_refused_with_its_range(
    tmp_path: Path, override: str, found: str
) -> None:
    message = refusal(HEAD, tmp_path, override)
    assert found in message and message.startswith(f"`{override.partition('=')[0]}` in `--set ")


def test_digits_of_other_scripts_get_a_hint_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("shapes-caption", ["training.steps=\uff15"])
    assert caught.value.hint == "write it in the digits 0 to 9"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nonsense.key=1", "unknown key `nonsense` in `--set nonsense.key=1`"),
        ("Training.Steps=5", "unknown key `Training` in `--set Training.Steps=5`"),
        (
            "training.steps.x=5",
            "`training.steps` in `--set training.steps.x=5` is {'x': 5}, expected a whole number, at least 1",
        ),
        ("training={steps: 0}", "`training.steps` in `--set training={steps: 0}` is 0, expected"),
    ],
)
def test_mistake_of_an_override_is_blamed_on_it(
    tmp_path: Path, override: str, message: str
) -> None:
    assert refusal(HEAD, tmp_path, override).startswith(message)


def test_mistake_of_the_file_is_blamed_on_the_file_whatever_is_set(tmp_path: Path) -> None:
    text = HEAD + "training: {steps: 0}\n"
    assert refusal(text, tmp_path, "training.batch_size=2").startswith("`training.steps` in `FILE`")
    assert refusal("name: a\n", tmp_path, "seed=2") == "missing key `task` in `FILE`"


def test_override_of_another_file_names_that_file(tmp_path: Path) -> None:
    override = Override("training.steps", 0, "`rows.mue.settings` of `study.yaml`")
    assert refusal(HEAD, tmp_path, override).startswith(
        "`training.steps` in `rows.mue.settings` of `study.yaml` is 0"
    )


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 5000, "a\0b", "a\nb", "~", "*"])
def test_name_of_no_recipe_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"^no recipe (named|file) `"):
        recipes.load(name)


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device"])
def test_what_is_no_plain_file_is_no_recipe(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.yaml"
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "loop": lambda: path.symlink_to(path),
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    with pytest.raises(RecipeError, match="no recipe file"):
        recipes.load(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_recipe_saved_by_any_editor_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes((HEAD + "# größe\nseed: 3\n").replace("\n", "\r\n").encode(encoding))
    assert recipes.load(path).seed == 3


def test_anchors_that_a_person_writes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "evaluation: &few {samples: 3}\ncalibration: {<<: *few}\n")
    assert recipes.load(path).calibration.samples == 3


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_recipe_or_a_line(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(HEAD.encode() + content)
    try:
        recipes.load(path)
    except RecipeError as error:
        assert "\n" not in error.message and error.hint
