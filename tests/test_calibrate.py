"""Calibration of a small trained run from Python: what is chosen, promised, stored and remembered."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Answer

from mue_cli import Experiment
from mue_cli.calibration.measured import Setting
from mue_cli.errors import MueError, RecipeError
from mue_cli.evaluation.latency_model import LatencyModel
from mue_cli.evaluation.predict import predict
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.exits.trace import Trace
from mue_cli.experiment.calibrate import keep_saturation, open_trials
from mue_cli.experiment.evaluate import evaluate
from mue_cli.experiment.promises import promises
from mue_cli.experiment.run_folder import Run, read_tried
from mue_cli.experiment.thresholds import earlier, read_thresholds
from mue_cli.experiment.trial_log import TrialLog
from mue_cli.experiment.trials import Trials

pytestmark = pytest.mark.usefixtures("without_java")

MUE = CATALOGUE["mue"]
TINY = ("calibration.samples=6", "evaluation.timed_samples=0", "evaluation.samples=3")


@pytest.fixture
def captions(copied_run: Run) -> Experiment:
    """Return a small trained captioner that a test may change."""
    return Experiment.open(run=copied_run.folder, device="cpu", overrides=TINY)


@pytest.fixture(scope="module")
def answers(tiny_demo: tuple[object, Path]) -> Experiment:
    """Return a small trained model of a closed set of answers. Tests must not change it."""
    folder = tiny_demo[1]
    settings = (f"data.root={folder / 'data' / 'shapes'}", "calibration.samples=12")
    return Experiment.open(run=next((folder / "runs").iterdir()), device="cpu", overrides=settings)


def settings_of(trials: Trials) -> list[Setting]:
    """Return a few settings: never, at once, and thresholds between exit scores."""
    middle = {name: float(np.median(each)) for name, each in trials.scores.encoder.items()}
    middle["decoder"] = float(np.median(trials.scores.decoder))
    values = (dict.fromkeys(middle, 1.01), dict.fromkeys(middle, -1.0), middle)
    return [Setting(each) for each in (*values, {**middle, "text": 1.01})]


@pytest.mark.parametrize("which", ["captions", "answers"])
def test_trials_agree_with_real_runs(which: str, request: pytest.FixtureRequest) -> None:
    """Cached encodings and exit tables give the words and exits of a run of the method itself."""
    experiment: Experiment = request.getfixturevalue(which)
    trials = Trials(experiment, MUE, samples=6)
    batches = experiment.batches("val", 6)
    for setting in settings_of(trials):
        real = batches.in_order(predict(experiment.predictor, trials.method(setting), batches))
        tried = trials.answers(setting, range(6))
        assert [text for text, _ in tried] == [each.text for each in real]
        assert [trace for _, trace in tried] == [each.trace for each in real]


def test_encodings_that_do_not_fit_are_made_again(captions: Experiment) -> None:
    from mue_cli.evaluation.encoded_samples import EncodedSamples

    trials = Trials(captions, MUE, samples=4)
    setting = settings_of(trials)[2]
    kept = trials.answers(setting, range(4))
    again = Trials(captions, MUE, samples=4)  # trials remember answers that they gave
    again._encoded = EncodedSamples(
        captions.predictor, again._never, again._make, range(4), 2, most_bytes=0
    )
    again._encoded.full()
    assert again.answers(setting, range(4)) == kept
    assert again.passes == (4 + 4, 4 + 4)


def test_card_says_on_what_grounds(captions: Experiment) -> None:
    card = captions.calibrate(target_reduction=0.2).thresholds
    stored = read_thresholds(captions.run)
    assert stored == card
    assert (card.searched_on, card.judged_on, card.samples) == (3, 3, 6)
    assert card.met and card.achieved >= 0.2
    low, high = card.intervals["reduction"]
    assert low <= card.achieved <= high
    assert card.data and card.version and card.machine
    tried = read_tried(captions.run)
    assert set(tried[0].thresholds.values()) == {1.01} and tried[0].reduction == 0.0


def test_calibration_goes_on_from_what_was_tried(captions: Experiment) -> None:
    first = captions.calibrate(target_reduction=0.2)
    log = captions.run.trials
    lines = log.read_text(encoding="utf-8").splitlines()
    log.write_text("\n".join([*lines[:-2], lines[-2][:40]]), encoding="utf-8")  # cut off
    again = captions.calibrate(target_reduction=0.2)
    assert again.thresholds == first.thresholds
    assert again.passes[1] < first.passes[1]


def test_what_was_tried_with_other_weights_does_not_count(tmp_path: Path) -> None:
    trace = Trace("a", {"image": 1}, {"image": 4}, (1, 2), 2, (1, 1))
    path, setting = tmp_path / "trials.jsonl", Setting({"image": 0.5})
    TrialLog(path, {"weights": "one"}).add(setting, {3: ("a cat", trace)})
    assert TrialLog(path, {"weights": "one"}).known(setting) == {3: ("a cat", trace)}
    assert TrialLog(path, {"weights": "two"}).known(setting) == {}
    assert TrialLog(path, {"weights": "one"}).known(setting) == {}


def test_drop_alone_chooses_the_largest_reduction_within_it(answers: Experiment) -> None:
    everything = answers.calibrate(max_drop=0.99)
    assert everything.thresholds.target is None and everything.thresholds.max_drop == 0.99
    nothing_lost = answers.calibrate(max_drop=1e-9)
    assert nothing_lost.thresholds.achieved <= everything.thresholds.achieved
    reductions = [point.reduction for point in everything.frontier]
    assert reductions == sorted(reductions)


def test_certificate_on_too_few_pictures_says_how_many_are_needed(answers: Experiment) -> None:
    before = len(earlier(answers.run))
    card = answers.calibrate(max_drop=0.02, confidence=0.95).thresholds
    assert card.certificate is not None
    assert card.certificate.num_passed == 0 and not card.met
    assert card.achieved == 0.0
    words = "\n".join(card.in_words())
    assert "not certified" in words and "budget met: no" in words
    again = answers.calibrate(max_drop=0.02, confidence=0.95).thresholds
    assert again.certified_before == card.certified_before + 1
    assert "each more weakens the promise" in "\n".join(again.in_words())
    assert len(earlier(answers.run)) == before + 2


def test_conservative_test_can_be_named(answers: Experiment) -> None:
    card = answers.calibrate(max_drop=0.5, confidence=0.6, test="hoeffding-bentkus").thresholds
    assert card.certificate is not None and card.certificate.test == "hoeffding-bentkus"


@pytest.mark.parametrize("by", ["flops", "latency"])
def test_reductions_are_counted_as_asked(by: str, answers: Experiment) -> None:
    card = answers.calibrate(target_reduction=0.05, by=by).thresholds  # type: ignore[arg-type]
    assert card.by == by and card.achieved >= 0.05
    assert (card.measured is not None) == (by == "latency")


@pytest.mark.parametrize(
    ("target", "drop", "confidence", "message"),
    [
        (0.0, None, None, "target reduction is 0,"),
        (1.0, None, None, "target reduction is 1,"),
        (None, 0.0, None, "a drop of 0 is not between"),
        (None, 0.1, 1.5, "a confidence of 1.5 is not between"),
        (0.3, None, 0.95, "a confidence alone promises nothing"),
    ],
)
def test_goals_that_make_no_sense_are_refused(
    target: float | None,
    drop: float | None,
    confidence: float | None,
    message: str,
    answers: Experiment,
) -> None:
    with pytest.raises(MueError, match=message):
        answers.calibrate(target, max_drop=drop, confidence=confidence)


def test_reduction_out_of_reach_states_the_largest(answers: Experiment) -> None:
    with pytest.raises(MueError, match=r"of 99.0% cannot be reached: .* saves \d\d\.\d%"):
        answers.calibrate(0.99)


def test_one_sample_is_calibrated_without_fresh_ones(captions: Experiment) -> None:
    one = Experiment.open(
        run=captions.run.folder, device="cpu", overrides=("calibration.samples=1",)
    )
    card = one.calibrate(0.2).thresholds
    assert (card.searched_on, card.judged_on) == (1, 0)
    assert "1 sample of val" in card.in_words()[2]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("by", "hope"),
        ("intervals", {"reduction": [0.1]}),
        ("certificate", {"max_drop": 0.1}),
        ("thresholds", {"image": "high"}),
    ],
)
def test_card_edited_into_nonsense_is_refused_in_one_line(
    key: str, value: object, copied_run: Run
) -> None:
    card = yaml.safe_load(copied_run.thresholds.read_text(encoding="utf-8"))
    copied_run.thresholds.write_text(yaml.safe_dump({**card, key: value}), encoding="utf-8")
    with pytest.raises(RecipeError, match=key) as error:
        read_thresholds(copied_run)
    assert "\n" not in str(error.value)


def test_promise_stands_beside_what_was_measured(captions: Experiment) -> None:
    captions.calibrate(target_reduction=0.2)
    record = evaluate(captions, "mue", metrics=("CIDEr",)).record
    drawn = promises(captions.run, "test")
    assert drawn.promises[-1].measured_reduction == record.costs["expected"]
    assert drawn.promises[-1].target == 0.2


def test_latency_model_finds_planted_parts() -> None:
    random = np.random.default_rng(0)
    traces = [
        Trace("a", {"image": int(image), "text": int(text)}, {}, tuple(words), len(words), ())
        for image, text in random.integers(1, 7, (40, 2))
        for words in [random.integers(1, 7, random.integers(3, 9)).tolist()]
    ]
    times = [
        5.0 + 2.0 * each.encoder_exits["image"] + 0.5 * each.encoder_exits["text"]
        + 1.0 * len(each.decoder_exits) + 0.25 * sum(each.decoder_exits)
        for each in traces
    ]  # fmt: skip
    model = LatencyModel.fit(traces, times)
    assert list(model.parts.values()) == pytest.approx([5.0, 2.0, 0.5, 1.0, 0.25], rel=0.02)
    assert model.error < 0.001
    assert model.milliseconds(traces) == pytest.approx(np.array(times), rel=0.01)


def test_saturation_is_measured_for_the_figure(captions: Experiment) -> None:
    captions.run.saturation.unlink()
    trials = open_trials(captions, MUE)
    keep_saturation(trials)
    assert captions.run.saturation.exists()
    assert all(math.isfinite(value) for value in trials.scores.decoder.ravel())


def test_frontier_is_printed_and_drawn(copied_run: Run, mue: Callable[..., Answer]) -> None:
    words = ("--set", "calibration.samples=4", "--run", copied_run.folder)
    answer = mue("calibrate", "--max-drop", 0.9, "--explain", *words)
    assert answer.code == 0, answer.stderr
    assert "frontier on the 2 samples of the search:" in answer.stdout
    assert (copied_run.plots / "frontier.png").stat().st_size > 10_000


def test_promises_are_drawn_beside_what_was_measured(
    copied_run: Run, mue: Callable[..., Answer]
) -> None:
    answer = mue("plot", "calibration", "--run", copied_run.folder)
    assert answer.code == 0, answer.stderr
    assert (copied_run.plots / "calibration.svg").stat().st_size > 5_000
    answer = mue("plot", "calibration", "--split", "val", "--run", copied_run.folder)
    assert answer.code != 0
    assert "no thresholds that `mue calibrate` chose were evaluated on val" in answer.stderr


def test_confidence_alone_is_refused_in_one_line(
    copied_run: Run, mue: Callable[..., Answer]
) -> None:
    answer = mue("calibrate", "--confidence", 0.9, "--run", copied_run.folder)
    assert answer.code != 0
    assert "a confidence alone promises nothing" in answer.stderr
    assert "add --max-drop 0.02" in answer.stderr
