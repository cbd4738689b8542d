"""How sure a score and its difference to the full model are."""

import dataclasses

import numpy as np
import pytest
from small_study import FULL, record

from mue_cli.calibration.bootstrap import mean_interval
from mue_cli.calibration.measured import Measured, Setting, intervals
from mue_cli.data.tasks import TASKS
from mue_cli.evaluation.predict import Prediction
from mue_cli.evaluation.score import Scores, score
from mue_cli.exits.trace import Trace
from mue_cli.reports.evaluation import evaluation_text

FULL_SCORES = Scores({"accuracy": 75.0}, (100.0, 100.0, 0.0, 100.0) * 10)


def test_a_difference_is_paired_and_so_surer_than_two_scores() -> None:
    alike = Scores({"accuracy": 75.0}, FULL_SCORES.each)
    assert alike.difference(FULL_SCORES) == (0.0, 0.0)
    low, high = FULL_SCORES.interval or (0.0, 0.0)
    assert low < 75.0 < high
    worse = Scores({"accuracy": 72.5}, (0.0, *FULL_SCORES.each[1:]))
    assert worse.difference(FULL_SCORES) == mean_interval([-100.0, *[0.0] * 39])


@pytest.mark.parametrize("each", [(), (50.0,)])
def test_nothing_is_said_below_two_samples(each: tuple[float, ...]) -> None:
    scores = Scores({}, each)
    assert scores.interval is None and scores.difference(scores) is None


def test_questions_about_one_picture_are_one_sample() -> None:
    apart, together = ("p", "q"), ("p", "p")
    assert Scores({}, (0.0, 100.0), pictures=together).interval is None
    assert Scores({}, (0.0, 100.0), pictures=apart).interval == (0.0, 100.0)


def test_interval_of_a_mean_is_the_same_as_drawing_one_resample_after_the_other() -> None:
    values = np.random.default_rng(1).normal(size=203)
    drawn = np.random.default_rng(0)
    means = [values[drawn.integers(203, size=203)].mean() for _ in range(2000)]
    assert mean_interval(values) == tuple(np.percentile(means, (2.5, 97.5)))


def test_evaluation_and_calibration_are_equally_sure() -> None:
    draw = np.random.default_rng(0)
    full, pictures = np.full(90, 100.0), tuple(str(number // 9) for number in range(90))
    early = full * (draw.random(90) > np.repeat(draw.beta(0.5, 4.5, size=10), 9))
    scores = [Scores({}, tuple(each), pictures=pictures) for each in (early, full)]
    cost = np.ones((90, 1))
    judged = [Measured(Setting({}), each, cost, cost) for each in (early, full)]
    calibrated = intervals(*judged, pictures)
    assert scores[0].difference(scores[1]) == pytest.approx(calibrated.difference)
    assert scores[0].interval == pytest.approx(calibrated.score)


def test_answers_are_scored_by_picture() -> None:
    task = TASKS["entailment"]
    said = [
        Prediction(f"{picture}#{n}", picture, answer, ("yes",), Trace("", {}, {}, (), 0, ()), ())
        for picture, answer in (("p", "yes"), ("q", "no"))
        for n in range(9)
    ]
    scores = score(task, said)
    assert scores.pictures == ("p",) * 9 + ("q",) * 9
    assert scores.interval == (0.0, 100.0), "two pictures: both wrong, or both right"


def test_an_evaluation_says_how_far_its_score_is_from_the_full_models() -> None:
    mue = dataclasses.replace(record("mue", 118.0), difference={"CIDEr": (-4.25, 0.5)})
    said = "difference to the full model -2.0 [-4.2, 0.5]"
    assert said in evaluation_text(FULL, mue).splitlines()
    assert "difference" not in evaluation_text(FULL, record("mue", 118.0))
    assert "difference" not in evaluation_text(FULL, FULL)
