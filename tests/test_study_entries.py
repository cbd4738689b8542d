"""Entries: evaluated points as rows of the paper's tables, from hand-made folders."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_study import STUDY, evaluated, record, write_study

from mue_cli.cost.reduction import costs_against
from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.record import Record, append_record
from mue_cli.study import entries, need
from mue_cli.study.entries import evaluated as noted
from mue_cli.study.file import journal, keep, load, trained_run

SMALL = {
    "num_encoder_layers": 4.0,
    "num_decoder_layers": 4.0,
    "joint_layers": 4.0,
    "decoder_layers": 4.0,
    "gflops_per_sample": 1.5,
}
WITH_SMALL = (
    STUDY.replace("rows:\n", "  small: {settings: {training.steps: 4}}\nrows:\n")
    + "  small: {folder: small, method: full}\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with a study that has trained nothing yet."""
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path, WITH_SMALL)))
    return run


def points(run: Run, split: str = "test") -> list[tuple[str, int, bool, float, float]]:
    return [
        (entry.row, entry.seed, entry.swept, entry.record.score, entry.full_score)
        for entry in entries(run, split)
    ]


def ran(run: Run, seed: int, folder: str, row: str, *found: Record) -> None:
    """Add records as the study's own evaluation of a row would, and note it in the journal."""
    evaluated(run, seed, folder, *found)
    journal(run, seed).note(
        f"row {row}",
        {"lines": [], "record": noted(trained_run(run, seed, folder), found[0].method)},
    )


def scores(run: Run, split: str = "test") -> list[tuple[str, float]]:
    return [(entry.row, entry.record.score) for entry in entries(run, split)]


def test_run_without_a_study_has_rows_named_after_methods(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for each in (
        record("mue", 99.0),
        record("full", 120.0),
        record("mue", 98.0),
        record("mue", 90.0, sweep=0.4),
    ):
        append_record(run.records, each)
    assert points(run) == [
        ("mue", 0, False, 98.0, 120.0),
        ("mue", 0, True, 90.0, 120.0),
        ("full", 0, False, 120.0, 120.0),
    ]


def test_study_has_all_rows_and_seeds_that_were_evaluated_in_the_studys_order(run: Run) -> None:
    evaluated(run, 1, "mue", record("mue", 95.0), record("full", 97.0), record("oracle", 99.0))
    evaluated(run, 0, "full", record("deebert", 80.0), record("full", 120.0))
    evaluated(run, 1, "full", record("full", 110.0))
    assert points(run) == [
        ("full", 0, False, 120.0, 120.0),
        ("deebert", 0, False, 80.0, 120.0),
        ("full", 1, False, 110.0, 110.0),
        ("mue", 1, False, 95.0, 110.0),
        ("oracle", 1, False, 99.0, 110.0),
    ]


def test_full_model_of_another_folder_is_no_row(run: Run) -> None:
    """Evaluating a method records `full` on the same weights, which is not the study's row."""
    evaluated(run, 0, "mue", record("mue", 95.0), record("full", 97.0))
    assert points(run) == [("mue", 0, False, 95.0, 0.0)]


LOW, HIGH = (
    {"thresholds": {"decoder": 0.5}, "sweep": 0.6},
    {"thresholds": {"decoder": 0.9}, "sweep": 0.2},
)


def test_row_is_its_newest_record_with_the_curve_of_that_evaluation(run: Run) -> None:
    evaluated(
        run,
        0,
        "mue",
        record("mue", 1.0),
        record("full"),
        record("mue", 2.0, **LOW),
        record("mue", 3.0, **HIGH),
    )
    evaluated(run, 0, "mue", record("mue", 4.0), record("full"), record("mue", 5.0, **LOW))
    assert [(swept, score) for _, _, swept, score, _ in points(run)] == [(False, 4.0), (True, 5.0)]


def test_evaluation_without_a_curve_keeps_the_one_before(run: Run) -> None:
    evaluated(
        run,
        0,
        "mue",
        record("mue", 1.0),
        record("mue", 2.0, **LOW),
        record("mue", 3.0, **HIGH),
        record("mue", 4.0),
    )
    assert [(swept, score) for _, _, swept, score, _ in points(run)] == [
        (False, 4.0),
        (True, 2.0),
        (True, 3.0),
    ]


def test_row_takes_no_record_of_other_settings(run: Run) -> None:
    evaluated(run, 0, "full", record("static", 70.0, thresholds={"joint": 4.0, "decoder": 4.0}))
    evaluated(run, 0, "full", record("static", 60.0, thresholds={"joint": 3.0, "decoder": 3.0}))
    evaluated(run, 0, "mue", record("mue", 80.0, tau=2.0), record("mue", 50.0, tau=1.0))
    assert [(row, score) for row, _, _, score, _ in points(run)] == [
        ("static", 70.0),
        ("mue", 80.0),
    ]


def test_curve_of_other_settings_is_left_out(run: Run) -> None:
    evaluated(run, 0, "full", record("static", 70.0, thresholds={"joint": 4.0, "decoder": 4.0}))
    evaluated(
        run, 0, "full", record("static", 75.0, thresholds={"joint": 5.0, "decoder": 5.0}, sweep=5.0)
    )
    evaluated(run, 0, "full", record("static", 60.0, thresholds={"joint": 3.0, "decoder": 3.0}))
    evaluated(
        run, 0, "full", record("static", 50.0, thresholds={"joint": 2.0, "decoder": 2.0}, sweep=2.0)
    )
    assert points(run) == [("static", 0, False, 70.0, 0.0), ("static", 0, True, 75.0, 0.0)]


def test_other_splits_are_left_out(run: Run) -> None:
    evaluated(run, 0, "full", record("full", 120.0), record("full", 130.0, split="val"))
    assert [score for *_, score, _ in points(run, "val")] == [130.0]
    assert points(run, "train") == []


def test_study_without_any_evaluation_names_the_command(run: Run) -> None:
    with pytest.raises(MissingStepError) as caught:
        entries(run, "test")
    assert caught.value.message == f"no row of the study in `{run.study}` was evaluated"
    assert caught.value.hint == f"run: mue study {run.study}/study.yaml --run {run.folder}"


def test_reductions_of_the_small_model_are_against_the_full_one_of_its_seed(run: Run) -> None:
    """4 of 6 layers in both stacks: 1 - (4/6 + 4/6) / 2 = 1/3. 1.5 of 2 GFLOPs: 1/4."""
    evaluated(run, 0, "full", record("full", 120.0))
    evaluated(run, 0, "small", record("full", 100.0, SMALL))
    small = next(entry for entry in entries(run, "test") if entry.row == "small")
    assert small.record.costs["expected"] == pytest.approx(1 / 3)
    assert small.record.costs["flops"] == pytest.approx(0.25)
    assert small.record.costs["num_encoder_layers"] == 4.0
    assert "measured" not in small.record.costs
    assert small.full_score == 120.0


def test_small_model_is_left_out_before_the_full_one_was_evaluated(run: Run) -> None:
    evaluated(run, 0, "small", record("full", 100.0, SMALL))
    assert points(run) == []


def test_exits_of_a_small_model_count_against_the_deeper_one() -> None:
    """3 of 4 encoder and 2 of 4 decoder layers: own 1 - (3/4 + 2/4) / 2 = 3/8; against 6 and 12: 1
    - (3/6 + 2/12) / 2 = 2/3.
    """
    small = {
        "expected": 3 / 8,
        "expected_token_weighted": 3 / 8,
        "flops": 0.2,
        "gflops_per_sample": 1.0,
        "decoder_layers": 2.0,
    }
    small |= {
        "num_encoder_layers": 4.0,
        "num_decoder_layers": 4.0,
        "measured": 0.3,
        "latency_ms": 7.0,
        "full_latency_ms": 10.0,
    }
    found = costs_against(
        small, {"num_encoder_layers": 6.0, "num_decoder_layers": 12.0, "gflops_per_sample": 4.0}
    )
    assert found["expected"] == pytest.approx(2 / 3)
    assert found["expected_token_weighted"] == pytest.approx(2 / 3)
    assert found["flops"] == pytest.approx(0.75)
    assert {"measured", "full_latency_ms"}.isdisjoint(found)
    assert found["latency_ms"] == 7.0


def test_model_as_deep_as_the_full_one_keeps_its_costs(run: Run) -> None:
    costs = {"expected": 0.4, "measured": 0.3, "gflops_per_sample": 1.0}
    evaluated(run, 0, "full", record("full", 120.0), record("deebert", 100.0, costs))
    deebert = next(entry for entry in entries(run, "test") if entry.row == "deebert")
    assert (deebert.record.costs["expected"], deebert.record.costs["measured"]) == (0.4, 0.3)


OTHERS = {
    "beam": {"search": {"beam": 5}},
    "precision": {"precision": "int8"},
    "decompose": {"decompose": False},
    "weights": {"weights": "others"},
    "thresholds": {"thresholds": {"image": 0.5, "text": 0.5, "decoder": 0.5}},
}
OWN = {
    "search": {"beam": 1},
    "precision": "float32",
    "decompose": True,
    "thresholds": {"image": 0.9, "text": 0.9, "decoder": 0.9},
    "tau": 2.0,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
def test_row_keeps_what_the_study_ran_when_others_evaluate_its_method_there(
    run: Run, other: dict[str, object]
) -> None:
    ran(run, 0, "mue", "mue", record("mue", 95.0, **OWN), record("mue", 90.0, **OWN, sweep=0.4))
    evaluated(
        run,
        0,
        "mue",
        record("mue", 50.0, **OWN | other),
        record("mue", 40.0, **OWN | other, sweep=0.4),
    )
    assert scores(run) == [("mue", 95.0), ("mue", 90.0)]


def test_row_keeps_what_the_study_ran_when_others_evaluate_fewer_samples(run: Run) -> None:
    ran(run, 0, "mue", "mue", record("mue", 95.0, **OWN))
    evaluated(run, 0, "mue", replace(record("mue", 50.0, **OWN), num_samples=20))
    assert scores(run) == [("mue", 95.0)]


def test_row_that_is_run_again_has_no_record_until_that_ended_well(run: Run) -> None:
    ran(run, 0, "mue", "mue", record("mue", 95.0, **OWN))
    journal(run, 0).note("row mue", {"lines": []})
    assert scores(run) == []


def test_rows_of_one_folder_with_other_settings_keep_their_own_records(tmp_path: Path) -> None:
    text = STUDY + "  late: {folder: mue, method: mue, settings: {exits.tau: 9}}\n"
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path, text)))
    ran(run, 0, "mue", "mue", record("mue", 95.0, tau=2.0))
    ran(run, 0, "mue", "late", record("mue", 85.0, tau=9.0))
    assert scores(run) == [("mue", 95.0), ("late", 85.0)]


@pytest.mark.parametrize(
    "other", [OTHERS[name] for name in ("beam", "precision", "decompose", "weights")]
)
def test_row_without_a_journal_takes_no_record_of_another_recipe(
    run: Run, other: dict[str, object]
) -> None:
    evaluated(run, 0, "mue", record("mue", 95.0, tau=2.0), record("mue", 50.0, tau=2.0, **other))
    assert scores(run) == [("mue", 95.0)]


def test_row_without_a_journal_takes_the_record_of_most_samples(run: Run) -> None:
    evaluated(run, 0, "mue", record("mue", 95.0), replace(record("mue", 50.0), num_samples=20))
    assert scores(run) == [("mue", 95.0)]


def test_threshold_that_a_row_leaves_to_calibration_fits_any(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path, STUDY.replace("exits.tau: 2", "exits.image: null"))))
    evaluated(
        run, 0, "mue", record("mue", 95.0, thresholds={"image": 0.9, "text": 0.9, "decoder": 0.9})
    )
    assert scores(run) == [("mue", 95.0)]


def test_other_splits_of_a_row_may_have_other_samples(run: Run) -> None:
    ran(run, 0, "mue", "mue", record("mue", 95.0, **OWN))
    evaluated(run, 0, "mue", replace(record("mue", 80.0, split="val", **OWN), num_samples=100))
    assert scores(run, "val") == [("mue", 80.0)]


def test_setting_that_was_evaluated_again_is_the_newest(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for each in (
        record("mue", 1.0, tau=1.0),
        record("mue", 2.0, tau=2.0),
        record("mue", 3.0, tau=1.0),
    ):
        append_record(run.records, each)
    assert scores(run) == [("mue", 2.0), ("mue", 3.0)]


def test_full_score_is_of_the_full_model_evaluated_alike(tmp_path: Path) -> None:
    run = Run(tmp_path)
    wide, narrow, coarse = (
        {"search": {"beam": 5}},
        {"search": {"beam": 1}},
        {"search": {"beam": 5}, "precision": "int8"},
    )
    for number, settings in enumerate((wide, narrow, coarse), start=1):
        append_record(run.records, record("full", 100.0 * number, **settings))
        append_record(run.records, record("mue", 10.0 * number, **settings))
    append_record(run.records, replace(record("full", 400.0, **wide), num_samples=20))
    append_record(run.records, record("mue", 5.0, decompose=False, **wide))
    found = [
        (entry.record.score, entry.full_score)
        for entry in entries(run, "test")
        if entry.row == "mue"
    ]
    assert found == [(10.0, 100.0), (20.0, 200.0), (30.0, 300.0), (5.0, 0.0)]


def test_curves_of_two_evaluations_without_a_study_are_not_mixed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append_record(run.records, record("mue", 7.0, sweep=0.3))
    for number, settings in enumerate((LOW, HIGH), start=1):
        append_record(run.records, record("mue", number, tau=number))
        append_record(run.records, record("mue", 10.0 * number, **settings))
    assert points(run) == [
        ("mue", 0, False, 1.0, 0.0),
        ("mue", 0, False, 2.0, 0.0),
        ("mue", 0, True, 20.0, 0.0),
    ]


def test_point_of_a_curve_keeps_its_number_also_when_that_is_nought(run: Run) -> None:
    evaluated(
        run,
        0,
        "mue",
        record("mue", 1.0),
        record("mue", 2.0, sweep=0),
        record("mue", 3.0, sweep=0.5),
    )
    assert [entry.point for entry in entries(run, "test")] == [None, 0.0, 0.5]


def test_full_model_as_deep_as_the_full_one_is_compared_with_it_too(run: Run) -> None:
    """A narrower model: it saves no layers, and three of four operations."""
    evaluated(run, 0, "full", record("full", 120.0))
    evaluated(run, 0, "small", record("full", 100.0, {"gflops_per_sample": 0.5}))
    small = next(entry for entry in entries(run, "test") if entry.row == "small")
    assert (small.record.costs["expected"], small.record.costs["flops"]) == (0.0, 0.75)


def test_missing_split_names_the_command(tmp_path: Path, run: Run) -> None:
    evaluated(run, 0, "mue", record("mue", 1.0, precision="int8"))
    append_record(tmp_path / "alone" / "records.jsonl", record("mue"))
    hints = {}
    for here, split in (
        (run, "test"),
        (run, "val"),
        (Run(tmp_path / "alone", "--run alone"), "val"),
    ):
        with pytest.raises(MissingStepError) as caught:
            need(here, split)
        assert caught.value.message == f"no record of the split `{split}` in `{here.folder}`"
        hints[here.folder.name, split] = caught.value.hint
    assert hints == {
        ("run", "test"): f"run: mue study {run.study}/study.yaml --run {run.folder}",
        ("run", "val"): "a study evaluates the split test: leave out --split",
        ("alone", "val"): "run: mue evaluate --run alone --split val",
    }
