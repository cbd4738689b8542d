"""Stored thresholds: the conditions they hold under, and what is refused."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mue_cli.errors import RecipeError
from mue_cli.experiment.conditions import Conditions
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import Thresholds, read_thresholds, store
from mue_cli.recipe.recipe import read_yaml, to_yaml
from mue_cli.recipe.sections import SearchSection

HERE = Conditions(image_size=64, prompt="ofa", max_source_tokens=80, fingerprint="0123456789abcdef")
SEARCH = asdict(SearchSection())
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
        ({"image_size": 32}, "image_size 64", "image_size 32"),
        ({"prompt": "bare"}, "prompt ofa", "prompt bare"),
        ({"max_source_tokens": 7}, "max_source_tokens 80", "max_source_tokens 7"),
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


@pytest.mark.parametrize("name", SEARCH)
def test_every_setting_of_the_search_is_a_condition(run: Run, name: str) -> None:
    card = replace(STORED, conditions=replace(HERE, search=SEARCH))
    other = replace(HERE, search={**SEARCH, name: 7})
    with pytest.raises(RecipeError) as caught:
        card.check(other, run)
    said = f"searched with {name} {SEARCH[name]:g}, now it is {name} 7"
    assert caught.value.message == f"`{run.thresholds}` was {said}", "what is the same is left out"


def test_thresholds_from_before_are_read_and_compared_by_what_they_state(run: Run) -> None:
    store(run, replace(STORED, conditions=replace(HERE, search=SEARCH)), [])
    older = read_yaml(run.thresholds)
    for name in ("image_size", "prompt", "max_source_tokens"):
        del older["conditions"][name]
    older["conditions"]["search"] = {"beam": 5, "max_tokens": 16}
    run.thresholds.write_text(to_yaml(older), encoding="utf-8")
    card = read_thresholds(run)
    card.check(replace(HERE, search={**SEARCH, "temperature": 3.0}, image_size=32), run)
    with pytest.raises(RecipeError, match="beam 5, now it is beam 1"):
        card.check(replace(HERE, search={**SEARCH, "beam": 1}), run)
