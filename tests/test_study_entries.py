"""Entries: evaluated points as rows of the paper's tables, from hand-made folders."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_study import STUDY, evaluated, of_row, record, write_study

from mue_cli.cost.reduction import costs_against
from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.record import append_record
from mue_cli.study import entries, need, notes
from mue_cli.study.file import journal, keep, load

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


def noted(run: Run, seed: int, row: str, evaluation: str | None) -> None:
    """Note in the seed's journal which evaluation of a row ended well."""
    journal(run, seed).note(f"row {row}", {"lines": [], "evaluated": evaluation})


def scores(run: Run, split: str = "test") -> list[tuple[str, float]]:
    return [(entry.row, entry.record.score) for entry in entries(run, split)]


def test_run_without_a_study_has_rows_named_after_methods(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for each in (
        record("mue", 99.0, id="a"),
        record("full", 120.0, id="b"),
        record("full", 120.0, id="c"),
        record("mue", 98.0, id="c"),
        record("mue", 90.0, id="c", point=0.4),
    ):
        append_record(run.records, each)
    assert points(run) == [
        ("mue", 0, False, 98.0, 120.0),
        ("mue", 0, True, 90.0, 120.0),
        ("full", 0, False, 120.0, 120.0),
    ]


def test_study_has_all_rows_and_seeds_that_were_evaluated_in_the_studys_order(run: Run) -> None:
    evaluated(run, 1, "mue", of_row("mue", 95.0), record("full", 97.0), of_row("oracle", 99.0))
    evaluated(run, 0, "full", of_row("deebert", 80.0), of_row("full", 120.0))
    evaluated(run, 1, "full", of_row("full", 110.0))
    assert points(run) == [
        ("full", 0, False, 120.0, 120.0),
        ("deebert", 0, False, 80.0, 120.0),
        ("full", 1, False, 110.0, 110.0),
        ("mue", 1, False, 95.0, 110.0),
        ("oracle", 1, False, 99.0, 110.0),
    ]


def test_full_model_evaluated_beside_a_row_is_no_row(run: Run) -> None:
    evaluated(run, 0, "mue", of_row("mue", 95.0), record("full", 97.0))
    evaluated(run, 0, "full", of_row("deebert", 90.0), record("full", 99.0))
    assert points(run) == [("deebert", 0, False, 90.0, 0.0), ("mue", 0, False, 95.0, 0.0)]


def test_row_is_its_newest_evaluation_with_the_curve_of_that(run: Run) -> None:
    first = [of_row("mue", 1.0, id="a"), of_row("mue", 2.0, id="a", point=0.2)]
    second = [of_row("mue", 4.0, id="b"), of_row("mue", 5.0, id="b", point=0.2)]
    evaluated(run, 0, "mue", *first, *second)
    assert [(swept, score) for _, _, swept, score, _ in points(run)] == [(False, 4.0), (True, 5.0)]


def test_evaluations_of_the_same_method_without_the_rows_name_are_no_rows(run: Run) -> None:
    evaluated(run, 0, "mue", of_row("mue", 95.0, id="a"), record("mue", 50.0, id="b"))
    assert scores(run) == [("mue", 95.0)]


def test_rows_of_one_folder_and_method_keep_their_own_records(tmp_path: Path) -> None:
    text = STUDY + "  late: {folder: mue, method: mue, settings: {exits.tau: 9}}\n"
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path, text)))
    evaluated(run, 0, "mue", of_row("mue", 95.0, id="a"))
    evaluated(run, 0, "mue", of_row("late", 85.0, method="mue", id="b"))
    assert scores(run) == [("mue", 95.0), ("late", 85.0)]


def test_row_is_the_evaluation_that_ended_well(run: Run) -> None:
    evaluated(run, 0, "mue", of_row("mue", 95.0, id="a"), of_row("mue", 90.0, id="b"))
    noted(run, 0, "mue", "a")
    assert scores(run) == [("mue", 95.0)]


def test_row_that_is_run_again_has_no_record_until_that_ended_well(run: Run) -> None:
    evaluated(run, 0, "mue", of_row("mue", 95.0))
    noted(run, 0, "mue", None)
    assert scores(run) == []


def test_other_splits_of_a_row_are_its_newest_there(run: Run) -> None:
    evaluated(run, 0, "mue", of_row("mue", 95.0, id="a"))
    noted(run, 0, "mue", "a")
    evaluated(run, 0, "mue", replace(of_row("mue", 80.0, split="val", id="b"), num_samples=100))
    assert scores(run, "val") == [("mue", 80.0)]


def test_other_splits_are_left_out(run: Run) -> None:
    evaluated(run, 0, "full", of_row("full", 120.0), of_row("full", 130.0, split="val"))
    assert [score for *_, score, _ in points(run, "val")] == [130.0]
    assert points(run, "train") == []


def test_study_without_any_evaluation_names_the_command(run: Run) -> None:
    with pytest.raises(MissingStepError) as caught:
        entries(run, "test")
    assert caught.value.message == f"no row of the study in `{run.study}` was evaluated"
    assert caught.value.hint == f"run: mue study {run.study}/study.yaml --run {run.folder}"


def test_reductions_of_the_small_model_are_against_the_full_one_of_its_seed(run: Run) -> None:
    """4 of 6 layers in both stacks: 1 - (4/6 + 4/6) / 2 = 1/3. 1.5 of 2 GFLOPs: 1/4."""
    evaluated(run, 0, "full", of_row("full", 120.0))
    evaluated(run, 0, "small", of_row("small", 100.0, "full", costs=SMALL))
    small = next(entry for entry in entries(run, "test") if entry.row == "small")
    assert small.record.costs["expected"] == pytest.approx(1 / 3)
    assert small.record.costs["flops"] == pytest.approx(0.25)
    assert small.record.costs["num_encoder_layers"] == 4.0
    assert "measured" not in small.record.costs
    assert small.full_score == 120.0


def test_small_model_is_left_out_before_the_full_one_was_evaluated(run: Run) -> None:
    evaluated(run, 0, "small", of_row("small", 100.0, "full", costs=SMALL))
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
    evaluated(run, 0, "full", of_row("full", 120.0), of_row("deebert", 100.0, costs=costs))
    deebert = next(entry for entry in entries(run, "test") if entry.row == "deebert")
    assert (deebert.record.costs["expected"], deebert.record.costs["measured"]) == (0.4, 0.3)


def test_setting_that_was_evaluated_again_is_the_newest(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for each in (
        record("mue", 1.0, id="a", tau=1.0),
        record("mue", 2.0, id="b", tau=2.0),
        record("mue", 3.0, id="c", tau=1.0),
    ):
        append_record(run.records, each)
    assert scores(run) == [("mue", 2.0), ("mue", 3.0)]


def test_short_evaluation_in_the_place_of_a_long_one_is_said(mue, tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number, (samples, tau) in enumerate([(40, 1.0), (10, 1.0), (10, 2.0)]):
        for each in (record("mue", 90.0, id=f"{number}", tau=tau), record("full", id=f"{number}")):
            append_record(run.records, replace(each, num_samples=samples))
    assert [(note.row, note.text) for note in notes(run, "test")] == [
        (row, f"{title}: the newest evaluation is shown, of 10 samples; an earlier one had 40.")
        for row, title in (("mue", "MuE"), ("full", "full"))
    ]
    assert notes(run, "val") == []
    shown = mue("table", 1, "--run", run.folder)
    assert "MuE: the newest evaluation is shown, of 10 samples" in shown.stdout
    append_record(run.records, replace(record("mue", 90.0, id="0", tau=1.0), num_samples=40))
    assert [note.row for note in notes(run, "test")] == ["full"], "evaluated again, it is newest"


def test_full_score_is_of_the_full_model_of_the_same_evaluation(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in (1, 2):
        append_record(run.records, record("mue", 10.0 * number, id=f"{number}", tau=number))
        append_record(run.records, record("full", 100.0 * number, id=f"{number}"))
    append_record(run.records, record("mue", 5.0, id="3"))
    found = [(each.record.score, each.full_score) for each in entries(run, "test")]
    assert found == [(10.0, 100.0), (20.0, 200.0), (5.0, 0.0), (200.0, 200.0)]


def test_curves_of_two_evaluations_without_a_study_are_not_mixed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in (1, 2):
        append_record(run.records, record("mue", number, id=f"{number}", tau=number))
        append_record(run.records, record("mue", 10.0 * number, id=f"{number}", point=0.1 * number))
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
        of_row("mue", 1.0),
        of_row("mue", 2.0, point=0),
        of_row("mue", 3.0, point=0.5),
    )
    assert [entry.point for entry in entries(run, "test")] == [None, 0.0, 0.5]


def test_full_model_as_deep_as_the_full_one_is_compared_with_it_too(run: Run) -> None:
    """A narrower model: it saves no layers, and three of four operations."""
    evaluated(run, 0, "full", of_row("full", 120.0))
    narrow = of_row("small", 100.0, "full", costs={"gflops_per_sample": 0.5})
    evaluated(run, 0, "small", narrow)
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


def test_evaluations_of_other_inputs_stay_apart_and_older_ones_are_replaced(
    tmp_path: Path,
) -> None:
    """A record from before states no inputs: the next of its setting takes its place."""
    run = Run(tmp_path)
    append_record(
        run.records,
        record("full", 1.0, id="a", beam=5),
        record("full", 2.0, id="b", beam=5, data="aa", image_size=64),
        record("full", 3.0, id="c", beam=5, data="bb", image_size=64),
        record("full", 4.0, id="d", beam=5, data="bb", image_size=32),
        record("full", 5.0, id="e", beam=5, data="aa", image_size=64),
    )
    assert scores(run) == [("full", 3.0), ("full", 4.0), ("full", 5.0)]
