"""How much exits could save at all, and answers that settings share, of a small captioner."""

import numpy as np
import pytest

from mue_cli import Experiment
from mue_cli.calibration.measured import Setting
from mue_cli.exits.catalogue import MUE, STATIC
from mue_cli.experiment.methods import make_method
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.trials import Trials

pytestmark = pytest.mark.usefixtures("without_java")

TINY = ("calibration.samples=4", "evaluation.timed_samples=0", "search.beam=1")


@pytest.fixture
def captions(copied_run: Run) -> Experiment:
    """Return a small trained captioner that a test may change."""
    return Experiment.open(run=copied_run.folder, device="cpu", overrides=TINY)


def test_settings_share_what_is_the_same_for_a_sample(captions: Experiment) -> None:
    """Thresholds that let every sample leave where it left before write no caption anew; one above
    every score is the full model.
    """
    trials = Trials(captions, MUE, samples=4)
    before = trials.passes
    never = trials.answers(Setting({"image": 1.01, "text": 1.2, "decoder": 1.01}), range(4))
    assert [text for text, _ in never] == [each.text for each in trials.predictions]
    assert trials.passes == before
    at_once = Setting({"image": -1.0, "text": -1.0, "decoder": -1.0})
    first = trials.answers(at_once, range(4))
    after = trials.passes
    alike = Setting({"image": -0.999, "text": -0.999, "decoder": -1.0})
    assert trials.answers(alike, range(4)) == first
    assert trials.passes == after == (before[0], before[1] + 4)


def test_fixed_layers_are_what_the_static_method_gives(captions: Experiment) -> None:
    trials, layers = Trials(captions, MUE, samples=3), {"image": 2, "text": 1, "decoder": 3}
    answers = trials.fixed(
        make_method(captions.recipe, captions.task, STATIC, layers), layers, range(3)
    )
    for _, trace in answers:
        assert dict(trace.encoder_exits) == {"image": 2, "text": 1}
        assert set(trace.decoder_exits) == {3}


def test_explaining_says_what_exits_could_save(captions: Experiment) -> None:
    plain = captions.calibrate(target_reduction=0.2)
    assert plain.suitability is None
    explained = captions.calibrate(target_reduction=0.2, explain=True)
    suits = explained.suitability
    assert suits is not None
    for reduction in (suits.oracle, suits.static, suits.searched):
        assert 0.0 <= reduction < 1.0 and np.isfinite(reduction)
    assert explained.explanation()[-1].startswith("what exits could save here: ")
    assert explained.frontier_to_draw().marks == {
        "oracle": suits.oracle,
        "fixed layers": suits.static,
    }
