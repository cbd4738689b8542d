"""Promises beside evaluations, from hand-made cards and records: what may be compared."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_study import record

from mue_cli.errors import DataError, MissingStepError
from mue_cli.experiment.conditions import Conditions
from mue_cli.experiment.promises import promise_of, promises
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import Thresholds, store
from mue_cli.reports.figures.calibration import calibration_figure
from mue_cli.reports.record import Record, append_record
from mue_cli.study.points import points_of

LIMITS = {"image": 0.9, "text": 0.8, "decoder": 0.7}
SEARCH = {"beam": 5, "max_tokens": 16, "length_penalty": 1.0}
HERE = {
    "decompose": True,
    "search": SEARCH,
    "image_size": 64,
    "prompt": "ofa",
    "max_source_tokens": 80,
    "weights_fingerprint": "ff",
    "data": "aa",
}
CARD = Thresholds(
    thresholds=LIMITS,
    target=0.4,
    achieved=0.41,
    metric="CIDEr",
    score=90.0,
    full_score=100.0,
    split="val",
    samples=200,
    data="aa",
    conditions=Conditions(
        search=SEARCH, image_size=64, prompt="ofa", max_source_tokens=80, fingerprint="ff"
    ),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path, "--recipe shapes-caption")
    store(run, CARD, [])
    return run


def evaluation(reduction: float, **settings: object) -> Record:
    about = {**HERE, "thresholds": LIMITS, **settings}
    return record("mue", 80.0, {"expected": reduction}, id=f"{reduction}", **about)


def evaluate(run: Run, reduction: float, **settings: object) -> None:
    full = record("full", 100.0, id=f"{reduction}", **{**HERE, **settings})
    append_record(run.records, evaluation(reduction, **settings), full)


def measured(run: Run) -> list[tuple[float, bool]]:
    drawn = promises(run, "test").promises
    return [(each.measured_reduction, each.other_data) for each in drawn]


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 32},
        {"prompt": "bare"},
        {"max_source_tokens": 7},
        {"search": {**SEARCH, "length_penalty": 5.0}},
        {"weights_fingerprint": "ee"},
    ],
)
def test_evaluation_under_other_conditions_is_no_test_of_a_promise(
    run: Run, change: dict[str, object]
) -> None:
    evaluate(run, 0.3, **change)
    with pytest.raises(MissingStepError, match="under the conditions they were chosen for"):
        promises(run, "test")
    evaluate(run, 0.35)
    evaluate(run, 0.2, **change)
    assert measured(run) == [(0.35, False)]


def test_promises_of_the_same_thresholds_under_two_conditions_stay_apart(run: Run) -> None:
    small = replace(CARD.conditions, image_size=32)
    store(run, replace(CARD, achieved=0.5, conditions=small), [])
    evaluate(run, 0.35)
    evaluate(run, 0.45, image_size=32)
    drawn = promises(run, "test").promises
    assert [(each.reduction, each.measured_reduction) for each in drawn] == [
        (0.41, 0.35),
        (0.5, 0.45),
    ]


def test_measured_on_other_prepared_data_is_said(run: Run) -> None:
    evaluate(run, 0.3, data="bb")
    assert measured(run) == [(0.3, True)]
    said = "Measured on other prepared data than promised on: 1 of 1."
    assert said in _caption(run)
    evaluate(run, 0.35)
    evaluate(run, 0.2, data="bb")
    assert measured(run) == [(0.35, False)], "its own data, where they were evaluated"
    assert said not in _caption(run)


def test_promise_beside_an_evaluation_says_that_data_are_others(run: Run) -> None:
    for data, said in (("aa", "; here: 30.0%"), ("bb", "; here, on other prepared data: 30.0%")):
        here = evaluation(0.3, data=data)
        card = promise_of(run, here)
        assert card is not None and said in card.beside(here, 100.0)


def test_decay_that_was_searched_is_that_of_the_promise(run: Run) -> None:
    decays = {"beta": 0.9, "tau": 1.0, "full_depth_steps": 0.0}
    chosen = {**decays, "beta": 0.5}
    card = replace(CARD, decay=chosen, conditions=replace(CARD.conditions, decay=decays))
    store(run, card, [])
    assert promise_of(run, evaluation(0.3, **chosen)) == card
    assert promise_of(run, evaluation(0.3, **decays)) != card


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_size": 32}, "image_size 64, the evaluation beside it was made with image_size 32"),
        ({"data": "bb"}, "data aa, the evaluation beside it was made with data bb"),
    ],
)
def test_search_of_other_inputs_is_not_drawn_beside_an_evaluation(
    run: Run, change: dict[str, object], words: str
) -> None:
    run.calibration.write_text(
        '{"thresholds": {}, "score": 100.0, "reduction": 0.0}\n', encoding="utf-8"
    )
    evaluate(run, 0.35)
    assert len(points_of(run, "test")[1]) == 1
    run.records.unlink()
    evaluate(run, 0.3, **change)
    with pytest.raises(DataError, match=words):
        points_of(run, "test")


def _caption(run: Run) -> str:
    figure = calibration_figure(promises(run, "test"))
    return " ".join(figure.texts[0].get_text().split())
