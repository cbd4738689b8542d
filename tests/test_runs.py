"""The run folder: what one command writes, the next one reads; what is missing names its command."""

import dataclasses
from pathlib import Path

import pytest

from mue_cli.errors import DataError, MissingStepError, RecipeError
from mue_cli.exits.trace import Trace
from mue_cli.experiment import run_folder as runs
from mue_cli.experiment.clearing import clear
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import Thresholds, read_thresholds, store
from mue_cli.files import replacing, write_text
from mue_cli.recipe import recipe as recipes
from mue_cli.recipe.recipe import Recipe
from mue_cli.reports.traces import EvaluationTraces, write_traces

THRESHOLDS = Thresholds(
    {"image": 0.97, "text": 0.5, "decoder": 0.9}, 0.4, 0.412, "CIDEr", 88.5, 90.1, "val", 200
)
TRACE = Trace("7", {"image": 3, "text": 2}, {"image": 16, "text": 9}, (2, 6, 4), 3, (1, 5, 5))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "mine", "--recipe shapes-caption")


def test_resolved_recipe_is_read_back(run: Run) -> None:
    recipe = Recipe("mine", "caption", seed=4)
    runs.write_recipe(run, recipe)
    assert recipes.load(run.recipe) == recipe


def test_thresholds_are_read_back(run: Run) -> None:
    store(run, THRESHOLDS, [])
    assert read_thresholds(run) == THRESHOLDS


def test_thresholds_file_reads_like_a_report(run: Run) -> None:
    store(run, THRESHOLDS, [])
    assert run.thresholds.read_text(encoding="utf-8").startswith(
        "thresholds:\n  image: 0.97\n  text: 0.5\n  decoder: 0.9\ntarget: 0.4\n"
    )


def test_traces_are_read_back(run: Run) -> None:
    traces = (TRACE, dataclasses.replace(TRACE, sample_id="8"))
    write_traces(run.traces, "0a1b2c3d", "mue", traces)
    assert runs.read_traces(run) == EvaluationTraces("0a1b2c3d", "mue", traces)


@pytest.mark.parametrize(
    ("read", "name", "command"),
    [
        (read_thresholds, "thresholds.yaml", "calibrate"),
        (runs.read_traces, "traces.jsonl", "evaluate"),
        (runs.records, "records.jsonl", "evaluate"),
    ],
)
def test_missing_step_names_the_command_that_writes_the_file(
    run: Run, read, name: str, command: str
) -> None:
    with pytest.raises(MissingStepError) as caught:
        read(run)
    assert caught.value.message == f"no {name} in `{run.folder}`"
    assert caught.value.hint == f"run: mue {command} --recipe shapes-caption"


def test_thresholds_edited_into_nonsense_are_refused(run: Run) -> None:
    store(run, THRESHOLDS, [])
    run.thresholds.write_text(
        run.thresholds.read_text(encoding="utf-8").replace("image: 0.97", "image: high"),
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match=r'`thresholds.image` in .* is "high", expected a number'):
        read_thresholds(run)


def test_line_of_traces_that_was_cut_short_is_named(run: Run) -> None:
    write_traces(run.traces, "0a1b2c3d", "mue", [TRACE, TRACE])
    run.traces.write_text(run.traces.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2 of .* is not JSON"):
        runs.read_traces(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no traces"),
        ('{"sample_id": "7"}\n', "line 1 of .* does not say which evaluation it is of"),
    ],
)
def test_traces_of_no_evaluation_are_refused(run: Run, text: str, message: str) -> None:
    write_text(run.traces, text)
    with pytest.raises(DataError, match=message):
        runs.read_traces(run)


def test_traces_of_two_evaluations_are_refused(run: Run) -> None:
    write_traces(run.traces, "0a1b2c3d", "mue", [TRACE])
    first = run.traces.read_text(encoding="utf-8")
    write_traces(run.traces, "4e5f6a7b", "mue", [TRACE])
    write_text(run.traces, first + run.traces.read_text(encoding="utf-8"))
    with pytest.raises(DataError, match="mixes traces of 2 evaluations"):
        runs.read_traces(run)


def test_predictions_are_in_cocos_result_form(run: Run) -> None:
    runs.write_predictions(run.predictions, [{"image_id": 42, "caption": "ein Küken"}])
    assert (
        run.predictions.read_text(encoding="utf-8")
        == '[\n {\n  "image_id": 42,\n  "caption": "ein Küken"\n }\n]\n'
    )


def test_clear_removes_what_an_earlier_training_left_and_keeps_the_figures(run: Run) -> None:
    store(run, THRESHOLDS, [])
    write_traces(run.traces, "0a1b2c3d", "mue", [TRACE])
    write_text(run.plots / "tradeoff.svg", "<svg/>")
    clear(run)
    assert [path.name for path in run.folder.iterdir()] == ["plots"]


def test_file_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="full"), replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ValueError("full")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replaced_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
