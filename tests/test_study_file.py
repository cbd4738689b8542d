"""A study's file: what is read, what is refused, and in which words."""

from pathlib import Path

import pytest
from small_study import STUDY, write_study

from mue_cli.errors import RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.recipe import names
from mue_cli.recipe import recipe as recipes
from mue_cli.study.file import (
    check_same,
    decomposed_run,
    keep,
    kept,
    load,
    study_file,
    study_run,
    trained_run,
)
from mue_cli.study.parts import Row


def changed(old: str, new: str) -> str:
    assert old in STUDY
    return STUDY.replace(old, new)


def refusal(folder: Path, text: str, *overrides: str) -> tuple[str, str | None]:
    """Return message and hint, with the file's path as FILE."""
    path = write_study(folder, text)
    with pytest.raises(RecipeError) as caught:
        load(path, overrides)
    return caught.value.message.replace(f"`{path}`", "FILE"), caught.value.hint


def test_study_is_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("shapes-caption").recipe == "shapes-caption"


def test_study_is_found_inside_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel carries recipes/ inside the package."""
    (tmp_path / "mue_cli" / "recipes" / "studies").mkdir(parents=True)
    (tmp_path / "mue_cli" / "recipes" / "studies" / "little.yaml").write_text(
        STUDY, encoding="utf-8"
    )
    monkeypatch.setattr(names, "__file__", str(tmp_path / "mue_cli" / "recipe" / "names.py"))
    assert (
        recipes.find("little", "study")
        == tmp_path / "mue_cli" / "recipes" / "studies" / "little.yaml"
    )
    assert recipes.names("study") == ("little",)
    assert recipes.names() == ()


def test_names_of_recipes_and_studies_are_kept_apart() -> None:
    assert "coco-base" in recipes.names() and "coco-base" not in recipes.names("study")


def test_unknown_study_has_a_suggestion() -> None:
    with pytest.raises(RecipeError) as caught:
        load("shape-caption")
    assert (caught.value.message, caught.value.hint) == (
        "no study named `shape-caption`",
        "did you mean `shapes-caption`?",
    )


def test_absent_study_file_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        load("no/such.yaml")
    assert caught.value.message == "no study file `no/such.yaml`"
    assert caught.value.hint is not None and caught.value.hint.startswith("studies by name: ")


def test_rows_say_only_what_differs_from_the_defaults(tmp_path: Path) -> None:
    study = load(write_study(tmp_path))
    assert study.rows["oracle"] == Row("mue", "oracle", None, {}, {})
    assert list(study.folders) == ["start", "full", "mue"]
    assert study.seeds == (0, 1)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("seeds:", "seed:", "unknown key `seed` in FILE", "did you mean `seeds`?"),
        (
            "{start: start, settings",
            "{strat: start, settings",
            "unknown key `folders.full.strat` in FILE",
            "did you mean `start`?",
        ),
        (
            "folder: mue, method: oracle",
            "foldr: mue, method: oracle",
            "unknown key `rows.oracle.foldr` in FILE",
            "did you mean `folder`?",
        ),
        (
            "method: oracle",
            "method: oracel",
            '`rows.oracle.method` in FILE is "oracel", expected one of',
            "did you mean `oracle`?",
        ),
        (
            "0.4",
            "4",
            "`rows.mue.target_reduction` in FILE is 4, expected a number, from 0 to 1 or null",
            None,
        ),
        (
            "start: start, method",
            "start: strat, method",
            "unknown folder `strat` in `folders.mue.start` of FILE",
            "did you mean `start`?",
        ),
        (
            "folder: mue, method: o",
            "folder: mu, method: o",
            "unknown folder `mu` in `rows.oracle.folder` of FILE",
            "did you mean `mue`?",
        ),
        (
            "start: {s",
            "start: {start: full, s",
            "folders of FILE start in a circle: start from full from start",
            "one must start from nothing",
        ),
        (
            "start: {s",
            "start: {start: start, s",
            "folders of FILE start in a circle: start from start",
            "one must start from nothing",
        ),
        (
            "start: start, method",
            "start: late, method",
            "`mue` of FILE starts from `late`, which comes after it",
            "move `late` above `mue`",
        ),
        (
            "[0, 1]",
            "[1, 1]",
            "`seeds` in FILE is [1, 1], expected different whole numbers",
            "for example [0, 1, 2]",
        ),
        (
            "[0, 1]",
            "[]",
            "`seeds` in FILE is [], expected different whole numbers",
            "for example [0, 1, 2]",
        ),
        (
            "name: little",
            "name: a/b",
            'the name "a/b" in FILE is not made of letters, digits, dots and dashes',
            "it may name a folder",
        ),
        (
            "  full: {folder",
            "  fll: {folder",
            "FILE has no row `full` of the method full",
            "scores and reductions are relative to it",
        ),
        (
            "method: oracle",
            "method: pabee",
            "`rows.oracle` of FILE evaluates pabee in `mue`, which is trained with the method mue",
            "its exit head",
        ),
        (
            "d: oracle",
            "d: oracle, target_reduction: 0.3",
            "`rows.oracle.target_reduction` of FILE is 0.3, but oracle",
            "leave it out",
        ),
        (
            "d: oracle",
            "d: oracle, second_stage: {training.steps: 3}",
            "`rows.oracle.second_stage` of FILE is for deebert",
            "leave it out",
        ),
        (
            "d: oracle",
            "d: oracle}\n  heads: {folder: full, method: deebert, second_stage: {training.steps: 9}",
            "the rows `deebert` and `heads` of FILE train other deebert heads in `full`",
            "give one of",
        ),
        (
            "training.steps: 6",
            "training.step: 6",
            "unknown key `training.step` in `folders.start.settings` of FILE",
            "did you mean `steps`?",
        ),
        (
            "training.steps: 3",
            "training.step: 3",
            "unknown key `training.step` in `rows.deebert.second_stage` of FILE",
            "did you mean `steps`?",
        ),
        (
            "exits.tau: 2",
            "exits.tua: 2",
            "unknown key `exits.tua` in `rows.mue.settings` of FILE",
            "did you mean `tau`?",
        ),
        (
            "exits.tau: 2",
            "exits.tau: -1",
            "`exits.tau` in `rows.mue.settings` of FILE is -1",
            "Speed of the decay",
        ),
        (
            "exits.tau: 2",
            "search.beam: 2",
            "`rows.mue.settings` of FILE has `search.beam`, expected settings of exits or calib",
            "what all",
        ),
        (
            "training.steps: 6",
            "seed: 6",
            "`folders.start.settings` of FILE has `seed`, expected settings of training or model",
            "what all rows",
        ),
        (
            "training.steps: 6",
            "training: {steps: 6}",
            "`folders.start.settings` of FILE: `training` is no single value",
            "write each as",
        ),
        (
            "0.15,",
            "0,",
            "`rows.deebert` of FILE has the target reduction 0, expected a fraction above 0 and below 1",
            "0.4 stands for 40 %",
        ),
        (
            "0.4,",
            "1,",
            "`rows.mue` of FILE has the target reduction 1, expected a fraction above 0 and below 1",
            "0.4 stands for 40 %",
        ),
        (
            "exits.tau: 2",
            "calibration.max_evaluations: 2",
            "`calibration.max_evaluations` in `rows.mue.settings` of FILE is 2, expected a whole",
            "Settings of the thresholds that are really run.",
        ),
        (
            "exits.tau: 2",
            "exits.image: 0.9, exits.decoder: 0.9",
            "`rows.mue` of FILE is calibrated, but `exits.image`, `exits.decoder` is fixed",
            "leave it out, or null, to calibrate it",
        ),
        (
            "exits.joint: 4, ",
            "",
            "`rows.static` of FILE needs an exit layer for each of joint, decoder",
            "for example settings: {exits.joint: 3, exits.decoder: 3}",
        ),
        (
            "exits.joint: 4, ",
            "exits.joint: 4.5, ",
            "`rows.static` of FILE needs an exit layer for each of joint, decoder",
            "for example",
        ),
        (
            "full, method: static",
            "mue, method: static",
            "`rows.static` of FILE needs an exit layer for each of image, text, decoder",
            "for",
        ),
        (
            "stage: {training.steps: 3",
            "stage: {model.decompose: true",
            "`rows.deebert.second_stage` of FILE has `model.decompose`, expected settings of training",
            "what all rows",
        ),
        (
            "training.steps: 6",
            "data.prompt: bare",
            "`folders.start.settings` of FILE has `data.prompt`, expected settings of training or model",
            "what all rows",
        ),
        (
            "recipe: shapes-caption",
            "recipe: shape-caption",
            "no recipe named `shape-caption`",
            "did you mean `shapes-caption`?",
        ),
    ],
)
def test_mistake_in_a_study_is_one_line_and_a_hint(
    tmp_path: Path, old: str, new: str, message: str, hint: str | None
) -> None:
    late = "  late: {settings: {training.steps: 4}}\nrows:\n"
    found, suggestion = refusal(tmp_path, changed(old, new).replace("rows:\n", late))
    assert found.startswith(message)
    assert (suggestion or "").startswith(hint or "") and (hint is None) == (suggestion is None)


def test_folders_as_a_list_are_refused(tmp_path: Path) -> None:
    message, _ = refusal(tmp_path, "name: a\nrecipe: shapes-caption\nfolders: [start]\nrows: {}\n")
    assert message == "`folders` in FILE is ['start'], expected a mapping of keys to values"


def test_unknown_key_of_an_override_is_refused_before_anything_runs(tmp_path: Path) -> None:
    assert refusal(tmp_path, STUDY, "evaluation.sampels=4") == (
        "unknown key `evaluation.sampels` in `--set evaluation.sampels=4`",
        "did you mean `samples`?",
    )


def test_seed_cannot_be_overridden(tmp_path: Path) -> None:
    assert refusal(tmp_path, STUDY, "seed=3") == (
        "`seed` is set, but a study trains folders for each of its seeds",
        "name them with --seeds",
    )


def test_override_wins_over_folders_and_rows(tmp_path: Path) -> None:
    study = load(write_study(tmp_path), ["training.steps=9", "exits.tau=1"])
    assert study.changed_recipe(study.folders["start"].settings).training.steps == 9
    assert study.rows["mue"].settings == {}
    assert study.rows["deebert"].second_stage == {}


def test_kept_study_reads_back_as_the_same_with_its_overrides(tmp_path: Path) -> None:
    study, run = (
        load(
            write_study(tmp_path),
            ["training.learning_rate=3e-5", "model.config.resnet_blocks=[1, 2, 3]"],
        ),
        Run(tmp_path / "run"),
    )
    keep(run, study)
    assert kept(run) == study
    assert study_file(run) == tmp_path / "run" / "study" / "study.yaml"


def test_run_without_a_study_has_none(tmp_path: Path) -> None:
    assert kept(Run(tmp_path)) is None


def test_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path)))
    with pytest.raises(RecipeError) as caught:
        check_same(run, load("shapes-caption"))
    assert (
        caught.value.message
        == f'`{run.study}` holds the study "little" of the recipe shapes-caption'
    )
    assert caught.value.hint == "name another folder with --run"


def test_study_belongs_to_the_run_of_its_recipe_unless_a_folder_is_named(tmp_path: Path) -> None:
    study = load(write_study(tmp_path))
    assert study_run(study).folder == Path("runs/shapes-caption")
    assert study_run(study).command("table 1") == "mue table 1 --recipe shapes-caption"
    assert (
        study_run(study, Path("my runs")).command("table 1")
        == "mue table 1 --recipe shapes-caption --run 'my runs'"
    )


def test_study_with_other_overrides_is_refused(tmp_path: Path) -> None:
    path, run = write_study(tmp_path), Run(tmp_path / "run")
    keep(run, load(path, ["evaluation.samples=4"]))
    check_same(run, load(path, ["evaluation.samples=9", "evaluation.samples=4"]))
    with pytest.raises(RecipeError) as caught:
        check_same(run, load(path, ["evaluation.samples=9"]))
    assert (
        caught.value.message
        == f"`{run.study}` was made with --set evaluation.samples=4, now it is --set evaluation.samples=9"
    )
    assert (
        caught.value.hint
        == "rows of both would be mixed: remove that folder, or name another with --run"
    )
    with pytest.raises(RecipeError, match="now it is no --set"):
        check_same(run, load(path))


def test_damaged_study_file_is_refused_as_a_study_is(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path)))
    file = study_file(run)
    file.write_text(
        file.read_text(encoding="utf-8").replace("folder: mue", "folder: mu"), encoding="utf-8"
    )
    with pytest.raises(RecipeError, match=r"unknown folder `mu` in `rows\.mue\.folder` of"):
        kept(run)


def test_first_folder_that_encodes_image_and_text_apart_is_found(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert decomposed_run(run) is None
    keep(run, load(write_study(tmp_path)))
    assert decomposed_run(run) == trained_run(run, 0, "mue")
    trained_run(run, 3, "mue").folder.mkdir(parents=True)
    assert decomposed_run(run) == trained_run(run, 3, "mue")
    keep(run, load(write_study(tmp_path), ["model.decompose=false"]))
    assert decomposed_run(run) is None


SHORT = """
name: little
recipe: shapes-caption
defaults:
  folders: {start: start, settings: {training.steps: 4, model.decompose: false}}
  rows: {target_reduction: 0.4, settings: {exits.tau: 2}}
folders:
  start: {start: null, settings: {training.steps: 6}}
  full:
  mue: {method: mue, settings: {model.decompose: true}}
rows:
  full: {target_reduction: null}
  mue: {settings: {exits.beta: 0.5}}
  oracle: {folder: mue, method: oracle, target_reduction: null, settings: {}}
"""


def test_folders_and_rows_state_only_what_they_change(tmp_path: Path) -> None:
    study = load(write_study(tmp_path, SHORT))
    assert study.folders["start"].start is None and study.folders["full"].start == "start"
    assert study.folders["start"].settings == {"training.steps": 6, "model.decompose": False}
    assert study.folders["full"].settings == {"training.steps": 4, "model.decompose": False}
    assert study.folders["mue"].settings == {"training.steps": 4, "model.decompose": True}
    assert study.rows["mue"].settings == {"exits.tau": 2, "exits.beta": 0.5}
    assert study.rows["mue"].target_reduction == 0.4


def test_row_is_evaluated_in_the_folder_of_its_name_by_that_folders_method(tmp_path: Path) -> None:
    study = load(write_study(tmp_path, SHORT))
    places = {name: (row.folder, row.method) for name, row in study.rows.items()}
    assert places == {"full": ("full", "full"), "mue": ("mue", "mue"), "oracle": ("mue", "oracle")}


def test_study_is_kept_with_its_defaults_written_out(tmp_path: Path) -> None:
    study, run = load(write_study(tmp_path, SHORT)), Run(tmp_path / "run")
    keep(run, study)
    assert kept(run) == study
    assert "defaults" not in study_file(run).read_text(encoding="utf-8")


def test_defaults_of_anything_else_are_an_unknown_key(tmp_path: Path) -> None:
    found, _ = refusal(tmp_path, SHORT.replace("  rows: {target", "  columns: {target"))
    assert found == "unknown key `defaults` in FILE"
