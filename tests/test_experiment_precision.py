"""`inference.precision: auto`: chosen by calibration, kept on the card, used by what follows."""

from pathlib import Path

import pytest

from mue_cli import Experiment
from mue_cli.calibration.precision import LEAST_SPEEDUP, PrecisionChoice
from mue_cli.experiment import precision as module
from mue_cli.experiment.precision import choose_precision, precision_of, with_precision
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import read_thresholds

pytestmark = pytest.mark.usefixtures("without_java")


def opened(run: Run, notes: list[str] | None = None, *more: str) -> Experiment:
    def tell(label: str, done: int, total: int, note: str = "") -> None:
        if notes is not None and total == 0:
            notes.append(note)

    settings = ("inference.precision=auto", *more)
    return Experiment.open(run=run.folder, device="cpu", overrides=settings, progress=tell)


def test_a_stated_precision_is_that(copied_run: Run) -> None:
    here = Experiment.open(run=copied_run.folder, overrides=("inference.precision=bfloat16",))
    assert here.precision == precision_of(here) == "bfloat16"
    assert with_precision(here, "float32").precision == "float32"


def test_bfloat16_that_is_no_faster_is_not_even_scored(
    copied_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_speedup", lambda *_: LEAST_SPEEDUP - 0.01)
    choice = choose_precision(opened(copied_run))
    assert choice == PrecisionChoice("float32", LEAST_SPEEDUP - 0.01)
    assert (
        choice.in_words("CIDEr") == "precision float32: bfloat16 takes 0.96 of float32's time here"
    )


@pytest.mark.parametrize(
    ("scores", "precision"), [((100.0, 99.6), "bfloat16"), ((100.0, 99.4), "float32")]
)
def test_a_faster_bfloat16_is_chosen_within_the_tolerance(
    scores: tuple[float, float],
    precision: str,
    copied_run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = iter(scores)
    monkeypatch.setattr(module, "_speedup", lambda *_: 2.0)
    monkeypatch.setattr(module, "quick_score", lambda *_: lambda _: next(values))
    choice = choose_precision(opened(copied_run))
    assert choice == PrecisionChoice(precision, 2.0, 4, scores[1], 100.0)  # type: ignore[arg-type]
    assert "against 100.0 on 4 samples of val" in choice.in_words("CIDEr")


def test_what_follows_uses_the_precision_of_the_card(
    copied_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_speedup", lambda *_: 2.0)
    more = ("inference.precision_tolerance=0.9",)
    card = opened(copied_run, None, *more).calibrate(target_reduction=0.2).thresholds
    assert card.precision is not None and card.precision.precision == "bfloat16"
    assert card.conditions.precision == "bfloat16"
    assert any(line.startswith("precision bfloat16: ") for line in card.in_words())
    assert read_thresholds(copied_run).precision == card.precision
    evaluated = opened(copied_run).evaluate("mue", split="val")
    assert evaluated.record.settings["precision"] == "bfloat16"


def test_auto_is_float32_before_the_first_calibration_and_says_so(
    copied_run: Run, tmp_path: Path
) -> None:
    copied_run.thresholds.unlink()
    notes: list[str] = []
    assert opened(copied_run, notes).precision == "float32"
    assert notes[0].startswith("note: precision auto is float32 until `mue calibrate")


def test_a_choice_of_another_machine_is_said(
    copied_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "machine", lambda _: "a bigger one, 64 threads")
    assert opened(copied_run, notes).precision == "float32"
    assert "calibrate again for this machine" in notes[0]


def test_the_clock_gives_a_speedup(copied_run: Run) -> None:
    assert choose_precision(opened(copied_run)).speedup > 0
