"""`mue table`: what it prints, in which form, and what it says when something is missing."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_study import COSTS, evaluated, write_study

from mue_cli.experiment.run_folder import Run
from mue_cli.recipe.sections import SearchSection
from mue_cli.reports.record import Record, append_record
from mue_cli.study.file import keep, load

FULL = Record(
    "00000001",
    "r",
    "caption",
    "shapes",
    "test",
    "full",
    0,
    400,
    "CIDEr",
    {"CIDEr": 380.0},
    {"expected": 0.0},
    {"precision": "float32"},
)
MUE = replace(FULL, method="mue", scores={"CIDEr": 361.0}, costs={"expected": 0.4})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run that `full` and `mue` were evaluated in."""
    made = Run(tmp_path / "run")
    for record in (FULL, MUE):
        append_record(made.records, record)
    return made


def words(line: str) -> str:
    """Return a line with one space between words."""
    return " ".join(line.split())


def test_text_has_our_rows_beside_the_papers_and_a_caption_below(mue, run: Run) -> None:
    answer = mue("table", 1, "--run", run.folder)
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert (
        words(lines[1])
        == "model CIDEr of full expected seeds | model BLEU-4 METEOR CIDEr SPICE of full reduction"
    )
    assert words(lines[8]) == "MuE 361.0 95.0% 40.0% 1 | MuE 41.6 30.6 137.0 24.4 93.4% 40.2%"
    assert lines[9] == "Ours: shapes test, 400 samples, seed 0."
    assert (
        "OFA-Base on COCO (Karpathy test)" in lines[-1]
        and "other data and another model than ours" in lines[-1]
    )


def test_rows_that_were_not_run_are_one_line_of_talk_with_the_command(mue, run: Run) -> None:
    answer = mue("table", 1, "--run", run.folder)
    rows = "small, deebert, pabee, deecap, static, calm, oracle"
    command = f"mue study shapes-caption --run {run.folder}"
    assert answer.stderr == f"not run yet: {rows}; `{command}` trains and evaluates all rows\n"


def test_missing_rows_of_a_recipe_without_a_study_name_the_file_that_is_missing_too(
    mue, run: Run
) -> None:
    answer = mue("table", 4, "--run", run.folder, "--recipe", "coco-base")
    hint = "a study of the recipe `coco-base` trains and evaluates all rows: mue study FILE"
    assert answer.stderr == f"not run yet: mue-joint, mue-last; {hint}\n"


@pytest.fixture
def studied(tmp_path: Path) -> Run:
    """Return a run whose study has evaluated `full`."""
    made = Run(tmp_path / "run")
    keep(made, load(write_study(tmp_path)))
    evaluated(made, 0, "full", replace(FULL, costs=COSTS, row="full"))
    return made


def test_missing_rows_of_a_study_name_the_line_that_goes_on(mue, studied: Run) -> None:
    command = f"mue study {studied.study}/study.yaml --run {studied.folder}"
    answer = mue("table", 3, "--run", studied.folder)
    assert (
        answer.stderr
        == f"not run yet: mue, the curve of mue; `{command}` goes on with the study's\n"
    )


def test_rows_that_a_study_does_not_have_are_not_promised(mue, studied: Run) -> None:
    evaluated(studied, 0, "mue", replace(MUE, costs=COSTS, row="mue"))
    answer = mue("table", 4, "--run", studied.folder)
    assert answer.stderr == "not run yet: mue-joint, mue-last; the study `little` has no such row\n"


def test_missing_split_of_a_study_is_none_that_a_study_evaluates(mue, studied: Run) -> None:
    for command in (["table", 1], ["plot", "tradeoff"]):
        answer = mue(*command, "--run", studied.folder, "--split", "val")
        assert answer.code == 2
        assert answer.stderr.splitlines() == [
            f"error: no record of the split `val` in `{studied.folder}`",
            "hint: a study evaluates the split test: leave out --split",
        ]


def test_grid_of_a_study_belongs_to_the_folder_that_encodes_apart(mue, studied: Run) -> None:
    answer = mue("table", 2, "--run", studied.folder)
    assert answer.code == 2
    folder = studied.study / "seed-0" / "mue"
    assert answer.stderr.splitlines() == [
        f"error: no modality.npz in `{studied.folder}`: a study has it in a folder of its own",
        f"hint: run: mue plot modality --run {folder}, then mue table 2 --run {folder}",
    ]


def test_markdown_csv_and_latex(mue, run: Run) -> None:
    markdown, table, latex = (
        mue("table", 3, "--run", run.folder, "--format", form).stdout
        for form in ("markdown", "csv", "latex")
    )
    assert markdown.startswith(
        "| model | CIDEr | of full | expected | seeds | model (paper) | BLEU-4 (paper) |"
    )
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["model"], row["CIDEr"], row["CIDEr (paper)"]) for row in rows[:2]] == [
        ("full", "380.0", "146.7"),
        ("MuE", "361.0", "142.7"),
    ]
    assert latex.startswith(
        "% \\usepackage{booktabs,graphicx}\n\\begin{table*}"
    ) and latex.endswith("\\end{table*}\n")


def test_json_is_one_document(mue, run: Run) -> None:
    document = json.loads(mue("table", 4, "--run", run.folder, "--json").stdout)
    assert (document["table"], document["not_run_yet"]) == (4, ["mue-joint", "mue-last"])
    first = document["tables"][0]["rows"][0]
    assert first["CIDEr"] == {"mean": 361.0, "sd": None}
    assert (first["model (paper)"], first["CIDEr (paper)"]) == ("MuE Full", 137.0)


def test_table_of_an_entailment_run(mue, tmp_path: Path) -> None:
    record = replace(FULL, task="entailment", metric="accuracy", scores={"accuracy": 80.0})
    append_record(Run(tmp_path).records, record)
    answer = mue("table", 1, "--run", tmp_path, "--recipe", "shapes-entailment")
    assert "accuracy" in answer.stdout and "deecap" not in answer.stderr


def test_table_2_prints_the_grid_and_the_papers_combinations(mue, run: Run) -> None:
    import numpy as np

    from mue_cli.reports.exit_grid import ExitGrid

    scores = 100.0 * np.arange(1, 7)[:, None] + np.arange(1, 7)
    ExitGrid(scores, "CIDEr", 50, {"dataset": "shapes", "split": "val"}).save(
        run.folder / "modality.npz"
    )
    answer = mue("table", 2, "--run", run.folder)
    grid, paper = answer.stdout.split("\n\n")
    assert words(grid.splitlines()[4]) == "3 301.0 302.0 303.0 304.0 305.0 306.0"
    assert "CIDEr on shapes val, 50 samples" in grid
    assert words(paper.splitlines()[4]).startswith("3 2 302.0 49.8% |")
    assert answer.stderr == ""
    assert len(json.loads(mue("table", 2, "--run", run.folder, "--json").stdout)["tables"]) == 2
    assert mue("table", 2, "--run", run.folder, "--split", "val").code == 0
    other = mue("table", 2, "--run", run.folder, "--split", "test")
    assert other.code == 2
    assert other.stderr.splitlines() == [
        f"error: `{run.folder / 'modality.npz'}` was measured on the split val, not on test",
        f"hint: run: mue plot modality --run {run.folder} --split test, or leave out --split",
    ]


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("image_size", "32", "64"),
        ("prompt", "bare", "ofa"),
        ("precision", "bfloat16", "float32"),
        ("search", "{}", json.dumps(asdict(SearchSection()))),
    ],
)
def test_table_2_of_what_was_measured_otherwise_names_the_command(
    mue, tmp_path: Path, name: str, was: str, now: str
) -> None:
    import numpy as np

    from mue_cli.reports.exit_grid import ExitGrid

    about = {"dataset": "shapes", "split": "test", name: was}
    ExitGrid(np.ones((6, 6)), "CIDEr", 50, about).save(tmp_path / "modality.npz")
    words = ("--run", tmp_path, "--recipe", "shapes-caption", "--set", "search.beam=5")
    answer = mue("table", 2, *words, "--set", f"data.root={tmp_path}")
    assert answer.code == 2 and answer.stdout == ""
    message, hint = answer.stderr.splitlines()
    file = tmp_path / "modality.npz"
    assert message == f"error: `{file}` was measured with {name} {was}, now it is {now}"
    assert hint.startswith("hint: run: mue plot modality ")


def test_a_table_that_the_paper_does_not_have(mue) -> None:
    answer = mue("table", 5)
    assert answer.code == 2
    subjects = "1 (the models), 2 (layers of each stream), 3 (the trade-off of MuE), 4 (the ablation of MuE)"
    assert (
        answer.stderr
        == f"error: the paper has no Table 5 to print\nhint: choose one of {subjects}\n"
    )


def test_no_record_yet(mue, tmp_path: Path) -> None:
    answer = mue("table", 1, "--run", tmp_path / "none")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith(
        f"error: no records.jsonl in `{tmp_path / 'none'}`\nhint: run: mue "
    )


def test_no_record_of_the_split(mue, run: Run) -> None:
    answer = mue("table", 1, "--run", run.folder, "--split", "val")
    assert answer.code == 2
    assert f"error: no record of the split `val` in `{run.folder}`" in answer.stderr
    assert f"hint: run: mue evaluate --run {run.folder} --split val" in answer.stderr


def test_a_run_of_another_task(mue, run: Run) -> None:
    answer = mue("table", 1, "--run", run.folder, "--recipe", "shapes-entailment")
    assert answer.code == 2
    expected = f"error: `{run.folder}` is a run of the task caption, the recipe `shapes-entailment` is for entailment"
    assert answer.stderr.splitlines() == [
        expected,
        "hint: name the recipe of that run with --recipe",
    ]


def test_records_that_do_not_belong_together(mue, run: Run) -> None:
    append_record(run.records, replace(MUE, dataset="coco", settings={"precision": "int8"}))
    answer = mue("table", 1, "--run", run.folder)
    assert answer.code == 2
    expected = "error: records of different datasets cannot share a table: coco, shapes"
    assert answer.stderr.splitlines() == [expected, "hint: keep them in run folders of their own"]


def test_records_that_were_evaluated_otherwise(mue, run: Run) -> None:
    append_record(run.records, replace(MUE, settings={"precision": "int8"}))
    answer = mue("table", 1, "--run", run.folder)
    assert answer.code == 2
    expected = 'error: records that differ in precision cannot share a table: "float32", "int8"'
    assert answer.stderr.splitlines() == [
        expected,
        "hint: evaluate them alike, or keep them in run folders of their own",
    ]


def test_grid_of_exit_layers_missing(mue, run: Run) -> None:
    answer = mue("table", 2, "--run", run.folder)
    assert answer.code == 2
    assert (
        answer.stderr
        == f"error: no modality.npz in `{run.folder}`\nhint: run: mue plot modality --run {run.folder}\n"
    )


def test_a_word_is_no_table(mue) -> None:
    assert mue("table", "one").code == 2
    assert mue("table").code == 2
    assert mue("table", 1, "--format", "html").code == 2
