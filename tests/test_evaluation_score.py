"""How sure a score and its difference to the full model are."""

import dataclasses

from small_study import FULL, record

from mue_cli.evaluation.score import Scores
from mue_cli.metrics.bootstrap import mean_interval
from mue_cli.reports.evaluation import evaluation_text

FULL_SCORES = Scores({"accuracy": 75.0}, (100.0, 100.0, 0.0, 100.0) * 10)


def test_a_difference_is_paired_and_so_surer_than_two_scores() -> None:
    alike = Scores({"accuracy": 75.0}, FULL_SCORES.each)
    assert alike.difference(FULL_SCORES) == (0.0, 0.0)
    low, high = FULL_SCORES.interval or (0.0, 0.0)
    assert low < 75.0 < high
    worse = Scores({"accuracy": 72.5}, (0.0, *FULL_SCORES.each[1:]))
    assert worse.difference(FULL_SCORES) == mean_interval([-100.0, *[0.0] * 39])


def test_nothing_is_said_without_samples() -> None:
    assert Scores({}).interval is None and Scores({}).difference(Scores({})) is None


def test_an_evaluation_says_how_far_its_score_is_from_the_full_models() -> None:
    mue = dataclasses.replace(record("mue", 118.0), difference={"CIDEr": (-4.25, 0.5)})
    said = "difference to the full model -2.0 [-4.2, 0.5]"
    assert said in evaluation_text(FULL, mue).splitlines()
    assert "difference" not in evaluation_text(FULL, record("mue", 118.0))
    assert "difference" not in evaluation_text(FULL, FULL)
