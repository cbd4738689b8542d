"""beta and tau of Eq. 11, searched beside the thresholds."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mue_cli import Experiment
from mue_cli.calibration.candidates import Candidates
from mue_cli.calibration.measured import Setting
from mue_cli.errors import RecipeError
from mue_cli.exits.decay import Decay
from mue_cli.experiment.decays import DECAYS, OtherDecays
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.stated import settled
from mue_cli.experiment.thresholds import read_thresholds

pytestmark = pytest.mark.usefixtures("without_java")

TINY = ("calibration.samples=6", "evaluation.timed_samples=0", "evaluation.samples=3")
SEARCHED = (*TINY, "calibration.search_decay=true")


def opened(run: Run, *overrides: str) -> Experiment:
    return Experiment.open(run=run.folder, device="cpu", overrides=overrides or TINY)


def decay_of(experiment: Experiment) -> Decay | None:
    """Return the decay of the method as its card states it."""
    rule = experiment.method("mue").rule("decoder")
    found: Decay | None = rule.decay  # type: ignore[attr-defined]
    return found


def candidates(*pairs: tuple[float, float]) -> Candidates:
    thresholds, saved = zip(*pairs, strict=True)
    return Candidates(np.array(thresholds), np.array(saved))


def test_variants_save_as_much_or_just_more() -> None:
    own = candidates((1.01, 0.0), (0.9, 0.2), (0.5, 0.6))
    other = candidates((1.01, 0.0), (0.8, 0.1), (0.7, 0.3), (-1.0, 0.8))
    decays = OtherDecays(own, [({"beta": 0.5, "tau": 4.0}, other)])
    (found,) = decays.variants(Setting({"image": 0.99, "decoder": 0.9}))
    assert found == Setting({"image": 0.99, "decoder": 0.7}, {"beta": 0.5, "tau": 4.0})
    assert not list(decays.variants(found)), "a variant has none of its own"
    assert not list(decays.variants(Setting({"image": 0.99, "decoder": 1.01})))


def test_beta_and_tau_are_searched_when_asked(copied_run: Run) -> None:
    card = opened(copied_run, *SEARCHED).calibrate(target_reduction=0.3).thresholds
    experiment = opened(copied_run)
    log = copied_run.trials.read_text(encoding="utf-8")
    for beta, tau in DECAYS:
        assert (f'"beta": {beta}, "tau": {tau}' in log) == ((beta, tau) != (0.9, 1.0))
    assert set(card.decay) == {"beta", "tau", "full_depth_steps"}
    assert f"decay beta {card.decay['beta']:g}" in "\n".join(card.in_words())
    assert read_thresholds(copied_run) == card
    assert decay_of(experiment) == Decay(**card.decay)  # type: ignore[arg-type]


def test_decay_that_was_chosen_takes_the_recipes_place(copied_run: Run) -> None:
    """Wherever the stored thresholds are used: the method, an evaluation, its record."""
    opened(copied_run, *SEARCHED).calibrate(target_reduction=0.2)
    card = yaml.safe_load(copied_run.thresholds.read_text(encoding="utf-8"))
    card["decay"] = {"beta": 0.5, "tau": 4.0, "full_depth_steps": 0}
    copied_run.thresholds.write_text(yaml.safe_dump(card), encoding="utf-8")
    experiment = opened(copied_run)
    assert decay_of(experiment) == Decay(0.5, 4.0, 0)
    assert settled(experiment, "mue").recipe.exits.beta == 0.5
    assert settled(experiment, "full") is experiment
    settings = experiment.evaluate("mue").record.settings
    assert (settings["beta"], settings["tau"]) == (0.5, 4.0)
    stated = opened(copied_run, "exits.image=1", "exits.text=1", "exits.decoder=1")
    assert settled(stated, "mue") is stated


def test_thresholds_with_a_decay_are_refused_under_another_recipe(copied_run: Run) -> None:
    opened(copied_run, *SEARCHED).calibrate(target_reduction=0.2)
    with pytest.raises(RecipeError, match=r"was searched with beta 0\.9, tau 1"):
        opened(copied_run, "exits.tau=2").method("mue")


def test_without_being_asked_the_card_keeps_the_recipes_decay(copied_run: Run) -> None:
    card = opened(copied_run).calibrate(target_reduction=0.2).thresholds
    assert card.decay == {}
    assert decay_of(opened(copied_run)) == Decay(0.9, 1.0, 0)


def test_closed_sets_say_that_nothing_decays(tiny_demo: tuple[object, Path]) -> None:
    folder = tiny_demo[1]
    notes: list[str] = []
    experiment = Experiment.open(
        run=next((folder / "runs").iterdir()),
        device="cpu",
        overrides=(
            f"data.root={folder / 'data' / 'shapes'}",
            "calibration.samples=6",
            "calibration.search_decay=true",
        ),
        progress=lambda label, done, total, note="": notes.append(note),
    )
    assert experiment.calibrate(target_reduction=0.05).thresholds.decay == {}
    assert "note: calibration.search_decay has no effect: nothing decays (mue)" in notes
