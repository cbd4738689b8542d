"""Recipes: what is read, what is refused, and in which words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli import Experiment
from mue_cli.errors import RecipeError
from mue_cli.experiment.choices import DEMO_RECIPES
from mue_cli.recipe import recipe as recipes
from mue_cli.recipe.recipe import Recipe
from mue_cli.recipe.yaml_text import parse, to_word

HEAD = "name: mine\ntask: caption\n"


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes a recipe file and returns its path."""

    def write_file(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def refusal(path: Path | str, *overrides: str) -> tuple[str, str | None]:
    with pytest.raises(RecipeError) as caught:
        recipes.load(path, overrides)
    return caught.value.message, caught.value.hint


def test_file_says_only_what_differs_from_the_defaults(write) -> None:
    recipe = recipes.load(write(HEAD + "training:\n  steps: 7\n"))
    assert (recipe.training.steps, recipe.training.batch_size) == (7, 32)
    assert recipe.exits == recipes.ExitsSection()


def test_recipes_are_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipes.load("shapes-caption").task == "caption"
    assert recipes.load("shapes-entailment").task == "entailment"


def test_each_task_has_a_default_recipe() -> None:
    assert {task: recipes.load(name).task for task, name in DEMO_RECIPES.items()} == {
        "caption": "caption",
        "entailment": "entailment",
    }


def test_dump_reads_back_as_the_same_recipe(write) -> None:
    overrides = [
        "training.learning_rate=3e-5",
        "exits.image=0.97",
        "model.config.resnet_blocks=[1, 2, 3]",
        "data.root=some/folder",
    ]
    recipe = recipes.load(write(HEAD), overrides)
    assert recipes.load(write(recipes.dump(recipe))) == recipe


def test_absent_values_are_dumped_as_null(write) -> None:
    assert "  image: null\n" in recipes.dump(recipes.load(write(HEAD)))


@given(
    rate=st.floats(1e-12, 10.0), steps=st.integers(1, 10**9), threshold=st.none() | st.floats(-2, 2)
)
def test_any_numbers_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rate: float, steps: int, threshold: float | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    recipe = Recipe(
        "mine",
        "caption",
        training=recipes.TrainingSection(steps=steps, learning_rate=rate),
        exits=recipes.ExitsSection(image=threshold),
    )
    path.write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(path) == recipe


def test_overrides_replace_values_and_the_last_one_wins(write) -> None:
    recipe = recipes.load(
        write(HEAD), ["exits.image=0.9", "exits.method=full", "exits.image=null", "seed=3"]
    )
    assert (recipe.exits.image, recipe.exits.method, recipe.seed) == (None, "full", 3)


def test_override_reaches_single_fields_of_the_model(write) -> None:
    assert recipes.load(write(HEAD), ["model.config.embed_dim=64"]).model.config == {
        "embed_dim": 64
    }


def test_short_scientific_numbers_are_numbers(write) -> None:
    assert (
        recipes.load(write(HEAD + "training: {learning_rate: 1e-4}")).training.learning_rate == 1e-4
    )


@pytest.mark.parametrize("number", ["010", "0100", "1:30", "08", "-010", "1:30:00"])
@pytest.mark.parametrize("key", ["steps", "learning_rate"])
def test_number_that_yaml_1_1_would_guess_is_text_and_refused(write, number: str, key: str) -> None:
    """010 would be 8, and 1:30 would be 90."""
    path = write(HEAD + f"training: {{{key}: {number}}}\n")
    assert f'`training.{key}` in `{path}` is "{number}", expected a' in refusal(path)[0]
    message, hint = refusal(write(HEAD), f"training.{key}={number}")
    assert f'in `--set training.{key}={number}` is "{number}", expected a' in message
    assert hint == "write it without a zero in front" or ":" in number


@pytest.mark.parametrize("tagged", ["!!int 010", "!!int 1:30", "!!float 1:30", "!!int 1.5"])
def test_tag_makes_no_number_of_what_is_none(write, tagged: str) -> None:
    assert "cannot be read as !!" in refusal(write(HEAD + f"seed: {tagged}\n"))[0]


@pytest.mark.parametrize(
    ("text", "value"),
    (
        {"0": 0, "-7": -7, "+7": 7, "1_000": 1000, "0x1f": 31, "0b11": 3, "1e3": 1000.0, "1.": 1.0}
        | {".5": 0.5, "-1.5e-3": -0.0015, "!!float 2": 2.0, ".inf": float("inf")}
    ).items(),
)
def test_numbers_that_mean_one_thing_are_read(text: str, value: float) -> None:
    read = parse(text, "here")
    assert read == value and type(read) is type(value)


@given(st.text("0123456789:_.eExb+-", max_size=8) | st.floats(allow_nan=False) | st.integers())
def test_what_is_written_is_read_back_as_the_same(value: object) -> None:
    read = parse(to_word(value), "here")
    assert read == value and type(read) is type(value)
    assert parse(recipes.to_yaml({"a": value}), "here") == {"a": value}


def test_override_of_a_section_keeps_its_other_values(write) -> None:
    path = write(HEAD + "training: {learning_rate: 0.002}\nmodel: {config: {embed_dim: 8}}\n")
    training = recipes.load(path, ["training={steps: 5}"]).training
    assert (training.steps, training.learning_rate) == (5, 0.002)
    assert recipes.load(path, ["training={}"]).training.learning_rate == 0.002
    assert recipes.load(path, ["training=null", "training={steps: 5}"]).training == (
        recipes.TrainingSection(steps=5)
    )
    model = recipes.load(path, ["model={preset: nano}", "seed=3"]).model
    assert model == recipes.ModelSection(preset="nano", config={"embed_dim": 8})


def test_override_of_a_value_that_is_a_mapping_replaces_it(write) -> None:
    path = write(HEAD + "model: {config: {embed_dim: 8}}\n")
    assert recipes.load(path, ["model.config={ffn_dim: 4}"]).model.config == {"ffn_dim": 4}
    assert recipes.load(path, ["model.config={}"]).model.config == {}


def test_section_without_values_means_its_defaults(write) -> None:
    assert recipes.load(write(HEAD + "training:\n")).training == recipes.TrainingSection()


def test_whole_number_is_accepted_where_a_number_is_asked(write) -> None:
    tau = recipes.load(write(HEAD), ["exits.tau=2"]).exits.tau
    assert tau == 2.0 and isinstance(tau, float)


def test_unknown_key_names_key_file_and_the_nearest_known_one(write) -> None:
    path = write(HEAD + "exits:\n  metod: mue\n")
    assert refusal(path) == (f"unknown key `exits.metod` in `{path}`", "did you mean `method`?")


def test_unknown_key_far_from_all_lists_the_known_ones(write) -> None:
    assert refusal(write(HEAD + "zzz: 1\n"))[1] == (
        "known keys: name, task, seed, data, model, training, exits, inference, search, evaluation, calibration"
    )


def test_wrong_choice_names_the_choices(write) -> None:
    path = write(HEAD + "exits: {method: mu}")
    choices = "full, static, mue, deebert, pabee, deecap, calm, gate, oracle"
    assert refusal(path) == (
        f'`exits.method` in `{path}` is "mu", expected one of {choices}',
        "did you mean `mue`?",
    )


@pytest.mark.parametrize(
    ("override", "found", "wanted"),
    [
        ("training.steps=1.5", "1.5", "a whole number, at least 1"),
        ("training.steps=0", "0", "a whole number, at least 1"),
        ("training.steps=true", "true", "a whole number, at least 1"),
        ("training.learning_rate=0", "0", "a number, above 0"),
        ("training.learning_rate=.nan", "nan", "a number, above 0"),
        ("exits.beta=1.5", "1.5", "a number, above 0, at most 1"),
        ("training.warmup=1.5", "1.5", "a number, from 0 to 1"),
        ("exits.image=high", '"high"', "a number or null"),
        ("model.decompose=1", "1", "true or false"),
        ("model.preset=7", "7", "text or null"),
        ("data.root=''", '""', "text, not empty or null"),
        ("training=3", "3", "a mapping of keys to values"),
        ("seed=null", "null", "a whole number, at least 0"),
        ("name=../up", '"../up"', "letters, digits, dots and dashes"),
        ("search.min_tokens=30", "30", "at most `search.max_tokens`, which is 16"),
    ],
)
def test_wrong_value_says_what_was_found_and_what_was_expected(
    write, override: str, found: str, wanted: str
) -> None:
    key = override.split("=")[0]
    assert (
        refusal(write(HEAD), override)[0]
        == f"`{key}` in `--set {override}` is {found}, expected {wanted}"
    )


@pytest.mark.parametrize("override", ["data.root=", "seed= ", "calibration.max_drop= \n"])
def test_override_of_no_value_is_refused_and_null_is_one(write, override: str) -> None:
    message, hint = refusal(write(HEAD), override)
    key = override.partition("=")[0]
    assert message.startswith(f"`--set {key}=") and message.endswith("` has no value")
    assert hint == f"where none is meant: {key}=null"


def test_number_in_quotes_gets_a_hint(write) -> None:
    assert refusal(write(HEAD + 'exits: {beta: "0.5"}'))[1] == "write it without quotes"


def test_dataset_must_fit_the_task(write) -> None:
    with pytest.raises(RecipeError) as caught:
        Experiment.open(write(HEAD), overrides=["data.dataset=snli-ve"])
    assert caught.value.message.endswith(
        'is "snli-ve", expected one of shapes, coco, flickr8k for the task caption'
    )


def test_missing_key_is_named(write) -> None:
    path = write("name: mine\n")
    assert refusal(path) == (
        f"missing key `task` in `{path}`",
        "it holds text",
    )


def test_unknown_task_names_those_there_are(write) -> None:
    path = write(HEAD)
    with pytest.raises(RecipeError) as caught:
        Experiment.open(path, overrides=["task=captoin"])
    assert (caught.value.message, caught.value.hint) == (
        f'`task` in `{path}` is "captoin", expected one of caption, entailment',
        "did you mean `caption`?",
    )


@pytest.mark.parametrize("override", ["training.steps", "=3", "training.=3", ".steps=3"])
def test_override_without_key_or_value_shows_how_to_write_it(write, override: str) -> None:
    assert refusal(write(HEAD), override) == (
        f"cannot read `--set {override}`",
        "write it as section.key=value, e.g. --set training.steps=100",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HEAD + "exits:\n\tbeta: 1\n",
            "line 4, column 1: found character '\\t' that cannot start any token",
        ),
        (HEAD + "name: other\n", "line 3, column 1: the key `name` stands twice"),
        (
            HEAD + "exits: {beta: 0.1, beta: 0.2}\n",
            "line 3, column 20: the key `beta` stands twice",
        ),
        (
            HEAD + "x: !!python/object:os.system 1\n",
            "could not determine a constructor for the tag",
        ),
        ("a: [1\n", "expected ',' or ']'"),
    ],
)
def test_broken_yaml_is_one_line_with_its_place(write, text: str, problem: str) -> None:
    path = write(text)
    message, _ = refusal(path)
    assert (
        message.startswith(f"cannot read `{path}`: ") and problem in message and "\n" not in message
    )


def test_tabs_get_a_hint(write) -> None:
    assert refusal(write(HEAD + "exits:\n\tbeta: 1\n"))[1] == "indent with spaces, never with tabs"


@pytest.mark.parametrize(
    ("text", "found"), [("", "empty"), ("# only a comment\n", "empty"), ("- a\n", "not a mapping")]
)
def test_file_that_is_no_mapping_is_refused(write, text: str, found: str) -> None:
    path = write(text)
    assert refusal(path)[0] == f"`{path}` is {found}, expected keys and values"


def test_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.yaml"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    assert refusal(path) == (
        f"cannot read `{path}`: it is not UTF-8 text (byte 0xff in line 1)",
        "save it as UTF-8",
    )


def test_unknown_name_gets_the_nearest_one() -> None:
    assert refusal("shape-caption") == (
        "no recipe named `shape-caption`",
        "did you mean `shapes-caption`?",
    )


def test_absent_file_lists_the_named_recipes() -> None:
    message, hint = refusal("nowhere/mine.yaml")
    assert message == "no recipe file `nowhere/mine.yaml`"
    assert hint is not None and "shapes-caption" in hint


def test_what_is_read_twice_is_two_values() -> None:
    """A text is parsed once, and nobody changes what another reads."""
    first, second = (parse("a: {b: [1]}", "here") for _ in range(2))
    first["a"]["b"].append(2)
    assert second == {"a": {"b": [1]}} == parse("a: {b: [1]}", "here")
