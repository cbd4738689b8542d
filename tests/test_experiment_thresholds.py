"""Stored thresholds: the conditions they hold under, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from mue_cli.errors import RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import (
    Conditions,
    Thresholds,
    read_thresholds,
    store,
)

HERE = Conditions(fingerprint="0123456789abcdef")
STORED = Thresholds(
    thresholds={"image": 0.97, "decoder": 0.9},
    target=0.4,
    achieved=0.41,
    metric="CIDEr",
    score=100.0,
    full_score=101.0,
    split="val",
    samples=200,
    conditions=HERE,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", "--recipe shapes-caption")


def test_thresholds_read_back_as_they_were_stored(run: Run) -> None:
    store(run, STORED, [])
    assert read_thresholds(run) == STORED


def test_same_conditions_are_taken(run: Run) -> None:
    STORED.check(replace(HERE), run)


@pytest.mark.parametrize(
    ("change", "searched", "now"),
    [
        (
            {"fingerprint": "fedcba9876543210"},
            "the weights 0123456789abcdef",
            "the weights fedcba9876543210",
        ),
        ({"precision": "bfloat16"}, "precision float32", "precision bfloat16"),
        ({"decompose": False}, "image and text apart", "image and text in one stream"),
        ({"search": {"beam": 2.0}}, "no search", "beam 2"),
        ({"weights": "a.pt"}, "the run's own weights", "the weights a.pt"),
    ],
)
def test_other_conditions_are_refused_field_by_field(
    run: Run, change: dict, searched: str, now: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        STORED.check(replace(HERE, **change), run)
    assert caught.value.message == (
        f"`{run.thresholds}` was searched with {searched}, now it is {now}"
    )
    assert caught.value.hint == "run: mue calibrate --recipe shapes-caption"


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"image": 95.0}, "`thresholds.image` in `FILE` is 95, expected a number, from -1 to 2"),
        (
            {"decoder": -3.0},
            "`thresholds.decoder` in `FILE` is -3, expected a number, from -1 to 2",
        ),
        ({"sound": 0.5}, "unknown stream `sound` in `FILE`"),
    ],
)
def test_thresholds_that_no_score_comes_near_are_refused(
    run: Run, thresholds: dict, message: str
) -> None:
    store(run, replace(STORED, thresholds=thresholds), [])
    with pytest.raises(RecipeError) as caught:
        read_thresholds(run)
    assert caught.value.message == message.replace("FILE", str(run.thresholds))
    assert caught.value.hint


def test_thresholds_of_another_method_are_refused(run: Run) -> None:
    store(run, replace(STORED, method="calm"), [])
    run.of_method(run.thresholds, "calm").rename(run.thresholds)
    with pytest.raises(RecipeError, match='is "calm", expected mue'):
        read_thresholds(run)
