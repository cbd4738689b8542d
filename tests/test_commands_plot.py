"""`mue plot`: which records become a figure."""

from pathlib import Path

import pytest
from small_study import evaluated, of_row, record, write_study

from mue_cli.experiment.run_folder import Run, append_line
from mue_cli.experiment.thresholds import Thresholds, store
from mue_cli.reports.record import append_record
from mue_cli.reports.traces import EvaluationTraces
from mue_cli.study.file import keep, load
from mue_cli.study.points import points_of as _points
from mue_cli.study.report import record_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run that was calibrated and evaluated."""
    run = Run(tmp_path / "run")
    for each in (record("full", 120.0), record("mue", 110.0, {"expected": 0.3})):
        append_record(run.records, each)
    store(run, Thresholds({"decoder": 0.9}, 0.3, 0.3, "CIDEr", 108.0, 118.0, "val", 50), [])
    append_line(run.calibration, {"thresholds": {"decoder": 0.9}, "score": 108.0, "reduction": 0.3})
    return run


def drawn(run: Run, split: str = "test") -> tuple[list[tuple[str, float, float]], int]:
    """Return row, score and full score of what is drawn, and how many searches are."""
    entries, searches = _points(run, split)
    return [(entry.row, entry.record.score, entry.full_score) for entry in entries], len(searches)


OWN = [("full", 120.0, 120.0), ("mue", 110.0, 120.0)]


def test_a_run_is_drawn_with_what_its_calibration_tried(run: Run) -> None:
    assert drawn(run) == (OWN, 1)


def test_a_study_is_drawn_without_the_search_of_another_model(run: Run, tmp_path: Path) -> None:
    keep(run, load(write_study(tmp_path)))
    evaluated(run, 0, "full", of_row("full", 130.0))
    assert drawn(run) == ([("full", 130.0, 130.0)], 0)


def test_a_run_is_drawn_itself_before_anything_of_its_study_was_evaluated(
    run: Run, tmp_path: Path
) -> None:
    keep(run, load(write_study(tmp_path)))
    assert drawn(run) == (OWN, 1)
    append_record(run.records, record("mue", 100.0, point=0.2))
    assert drawn(run) == ([*OWN, ("mue", 100.0, 120.0)], 0)
    assert drawn(run, "val") == ([], 1)


def test_a_study_without_any_record_says_how_to_make_one(mue, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path)))
    answer = mue("plot", "tradeoff", "--run", run.folder)
    assert (
        answer.code == 2 and f"no row of the study in `{run.study}` was evaluated" in answer.stderr
    )


def test_the_help_of_the_trade_off_names_the_study(mue) -> None:
    assert "mue study" in " ".join(mue("plot", "tradeoff", "--help").stdout.split())


def test_record_of_traces_is_that_of_their_evaluation_whatever_others_look_like(run: Run) -> None:
    append_record(run.records, record("calm", id="0a1b2c3d"))
    append_record(run.records, record("calm", id="0a1b2c3d", point=0.5))
    append_record(run.records, record("full", id="0a1b2c3d"))
    append_record(run.records, record("calm", id="4e5f6a7b"))
    found = record_of(EvaluationTraces("0a1b2c3d", "calm", ()), run)
    assert (found.id, found.method, found.point) == ("0a1b2c3d", "calm", None)
