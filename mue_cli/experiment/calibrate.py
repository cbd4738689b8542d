"""Choose a method's thresholds on `val`, for a reduction, a largest drop, or both; and the settings
of a trade-off curve.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from mue_cli import __version__
from mue_cli.calibration.goal import By, Goal, TestName
from mue_cli.calibration.measured import Intervals, Measured, Setting, intervals
from mue_cli.calibration.settings import Point
from mue_cli.calibration.suitability import Suitability
from mue_cli.data.disk import fingerprint
from mue_cli.errors import MueError
from mue_cli.evaluation.spending import Spending, by_flops, by_latency, by_layers
from mue_cli.exits.catalogue import MUE, ORACLE, MethodSpec
from mue_cli.experiment.batches import tell_cut
from mue_cli.experiment.choosing import Choice, Chooser
from mue_cli.experiment.inputs import about_of, data_fingerprint, is_kept_of
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.methods import decay, decay_settings, refuse_fixed_thresholds, spec_of
from mue_cli.experiment.precision import choose_precision, with_precision
from mue_cli.experiment.thresholds import Thresholds, earlier, store
from mue_cli.experiment.timing import latency_model, machine, verified
from mue_cli.experiment.trial_log import TrialLog
from mue_cli.experiment.trials import Trials
from mue_cli.reports.promises import Frontier
from mue_cli.reports.saturation import Saturation

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

SWEEP_TARGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Reductions that a sweep of several thresholds aims at."""
EVALUATIONS_EACH = 4
SWEEP_POINTS = 8
"""Points of a sweep of one threshold."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """thresholds: as they were stored. trials: every setting that the search ran, the full model
    first. frontier: the best of them by what they save, on the search's samples. passes: samples
    that were encoded and decoded, each time counted. suitability: None where it was not asked
    for, or reductions are not counted by Eq. 14.
    """

    thresholds: Thresholds
    trials: tuple[Point, ...]
    frontier: tuple[Point, ...]
    passes: tuple[int, int]
    suitability: Suitability | None = None

    def explanation(self) -> list[str]:
        """The frontier from little saving to much, and how much exits could save, a line each."""
        card = self.thresholds
        lines = [f"frontier on the {card.searched_on} samples of the search:"]
        for point in self.frontier:
            settings = "  ".join(f"{name} {value:.4f}" for name, value in point.thresholds.items())
            lines.append(f"  {point.reduction:6.1%}  {card.metric} {point.score:6.1f}  {settings}")
        suits = self.suitability
        return lines if suits is None else [*lines, suits.in_words(card.method)]

    def frontier_to_draw(self) -> Frontier:
        """Return the settings by what they save, scores as shares of the full model's."""
        card, whole = self.thresholds, self.trials[0].score or 1.0
        tried, best = (
            [(point.reduction, point.score / whole) for point in some]
            for some in (self.trials, self.frontier)
        )
        chosen = (card.achieved, card.score / (card.full_score or 1.0))
        suits = self.suitability
        marks = {} if suits is None else {"oracle": suits.oracle, "fixed layers": suits.static}
        return Frontier(tried, best, chosen, card.metric, card.searched_on, marks)


@holding_run("calibrate")
def calibrate(
    experiment: "Experiment",
    target_reduction: float | None = None,
    method: str | None = None,
    by: By = "expected",
    max_drop: float | None = None,
    confidence: float | None = None,
    test: TestName = "betting",
    explain: bool = False,
) -> Calibrated:
    """Choose thresholds on `val` and store them, with what they are expected to do.

    target_reduction: a fraction, counted `by` Eq. 14, FLOPs or milliseconds; None for the recipe's,
    unless there is a max_drop. max_drop: largest relative fall of the score, for the largest
    reduction within it; with a confidence, the largest expected loss of a sample, certified by
    `test`. method: None for the recipe's exits.method. explain: also find out how much exits could
    save at all, by Eq. 14. Raises MueError for a reduction out of
    reach, which states the largest.
    """
    recipe = experiment.recipe
    if target_reduction is None and max_drop is None:
        target_reduction = recipe.calibration.target_reduction
    goal = Goal(target_reduction, by, max_drop, confidence, test)
    goal.check()
    name = method or recipe.exits.method
    if name == ORACLE or not spec_of(name).is_calibrated:
        raise MueError(
            f"the method {name} has no thresholds to search", "name one that has: --method mue"
        )
    spec = spec_of(name)
    refuse_fixed_thresholds(recipe, spec)
    experiment.need_trained()
    precision = None
    if recipe.inference.precision == "auto":
        here = experiment
        precision = experiment.processes.first(lambda: choose_precision(here))
        experiment = with_precision(experiment, precision.precision)
    tell_cut(experiment, experiment.batches("val", recipe.calibration.samples))
    trials = open_trials(experiment, spec)
    if recipe.calibration.search_decay and decay(recipe, experiment.task, spec) is None:
        note = f"note: calibration.search_decay has no effect: nothing decays ({spec.name})"
        experiment.progress("calibrate", 0, 0, note)
    spending = _spending(experiment, goal.by)
    chooser = Chooser.of(trials, spending, goal, decay(recipe, experiment.task, spec))
    choice = chooser.choose()
    card = replace(_card(experiment, spec, goal, chooser, choice), precision=precision)
    if experiment.processes.writes:
        store(experiment.run, card, choice.tried)
        keep_saturation(trials)
    points = tuple(map(_point, choice.frontier))
    suits = chooser.suitability() if explain and by == "expected" else None
    return Calibrated(card, choice.tried, points, _all_passes(trials), suits)


def open_trials(experiment: "Experiment", spec: MethodSpec) -> Trials:
    """Run the full model on the calibration samples of `val`; what was tried on them before is
    remembered.
    """
    trials = Trials(experiment, spec, samples=experiment.recipe.calibration.samples)
    if trials.table is None:
        path = experiment.run.of_method(experiment.run.trials, spec.name)
        about, processes = _circumstances(experiment, spec), experiment.processes
        log = processes.first(lambda: TrialLog(path, about))
        trials.keep_log(log if processes.writes else log.unwritten())
    return trials


def keep_saturation(trials: Trials) -> None:
    """Write the exit scores of a method with one kind of score for all streams to saturation.npz,
    for the figure.
    """
    experiment, spec = trials.experiment, trials.spec
    if spec.score is not None and spec.exits == "everywhere":
        scores = {**trials.scores.encoder, "decoder": trials.scores.decoder}
        path = experiment.run.of_method(experiment.run.saturation, spec.name)
        Saturation(scores, about_of(experiment, "val")).save(path)


def saturation(experiment: "Experiment") -> Saturation:
    """Return MuE's exit scores on val, as they were kept or measured now and kept."""
    path = experiment.run.saturation
    if path.exists():
        kept = Saturation.load(path)
        if is_kept_of(kept.about, about_of(experiment, "val")):
            return kept
    keep_saturation(open_trials(experiment, MUE))
    return Saturation.load(path)


def sweep(experiment: "Experiment", spec: MethodSpec) -> dict[float, dict[str, float]]:
    """Settings from little to much saving, each under the number that makes it the same point for
    every seed.

    Of one threshold they are evenly spaced, by the share of what it can save (of a number of
    layers, by that number); of several the best of each reduction, by that reduction. A setting
    that would stand twice keeps its first number.
    """
    trials = open_trials(experiment, spec)
    spending, how = _layers(experiment), decay(experiment.recipe, experiment.task, spec)
    chooser = Chooser.of(trials, spending, Goal(SWEEP_TARGETS[0]), how)
    candidates = chooser.settings.candidates["decoder"]
    settings: dict[float, dict[str, float]]
    if spec.threshold == "agreement":
        settings = {value: {"decoder": float(value)} for value in candidates.thresholds[1:]}
    elif trials.streams == ("decoder",):
        settings = {n: {"decoder": level} for n, level in chooser.shares(SWEEP_POINTS).items()}
    else:
        settings = chooser.best_of(SWEEP_TARGETS, EVALUATIONS_EACH)
    first = {tuple(each.items()): number for number, each in reversed(settings.items())}
    return {n: each for n, each in settings.items() if first[tuple(each.items())] == n}


def _spending(experiment: "Experiment", by: By) -> Spending:
    """How reductions are counted."""
    match by:
        case "flops":
            return by_flops(experiment.predictor, experiment.recipe.data.image_size)
        case "latency":
            return by_latency(experiment.processes.first(lambda: latency_model(experiment)))
        case _:
            return _layers(experiment)


def _layers(experiment: "Experiment") -> Spending:
    config = experiment.model.config
    return by_layers(config.num_encoder_layers, config.num_decoder_layers)


def _card(
    experiment: "Experiment", spec: MethodSpec, goal: Goal, chooser: Chooser, choice: Choice
) -> Thresholds:
    """What is stored: the thresholds, what they are expected to do, and on what grounds."""
    trials, finalist = chooser.trials, choice.finalist
    fresh = trials.halves.fresh or trials.halves.search
    spread = _intervals(chooser, finalist.all, finalist.judged, fresh)
    measured = None
    if goal.by == "latency":
        method = trials.method(finalist.searched.setting)
        measured = experiment.processes.first(lambda: verified(experiment, method))
    data = data_fingerprint(experiment)
    return Thresholds(
        thresholds=dict(finalist.searched.setting.thresholds),
        target=goal.target_reduction,
        achieved=finalist.all.reduction,
        metric=experiment.task.metric,
        score=finalist.judged.score,
        full_score=chooser.full.of(fresh).score,
        split="val",
        samples=trials.num_samples,
        method=spec.name,
        conditions=experiment.conditions(spec.name),
        by=goal.by,
        max_drop=goal.max_drop,
        met=choice.met if measured is None else choice.met and measured >= _wanted(goal),
        measured=measured,
        intervals={name: bounds for name, bounds in asdict(spread).items() if bounds},
        certificate=choice.certificate,
        decay=_chosen_decay(experiment, spec, finalist.searched.setting),
        certified_before=_certified_before(experiment, spec, data) if choice.certificate else 0,
        data=data,
        searched_on=len(trials.halves.search),
        judged_on=len(trials.halves.fresh),
        version=__version__,
        machine=machine(experiment),
    )


def _chosen_decay(experiment: "Experiment", spec: MethodSpec, setting: Setting) -> dict[str, float]:
    """Eq. 11's settings where they were searched too, else nothing."""
    whole = decay_settings(experiment.recipe, experiment.task, spec)
    searched = experiment.recipe.calibration.search_decay and whole
    return {**whole, **setting.decay} if searched else {}


def _all_passes(trials: Trials) -> tuple[int, int]:
    """Samples that all processes encoded and decoded."""
    encoded, decoded = zip(*trials.experiment.processes.gather(trials.passes), strict=True)
    return sum(encoded), sum(decoded)


def _wanted(goal: Goal) -> float:
    return 0.0 if goal.target_reduction is None else goal.target_reduction


def _intervals(
    chooser: Chooser, everywhere: Measured, judged: Measured, samples: tuple[int, ...]
) -> Intervals:
    """Intervals of the reduction on all samples, of the score on those that judged it."""
    trials, full = chooser.trials, chooser.full
    order = [*trials.halves.search, *trials.halves.fresh]
    over_all = intervals(everywhere, full.of(order), trials.pictures_of(order))
    own = intervals(judged, full.of(samples), trials.pictures_of(samples))
    return replace(own, reduction=over_all.reduction)


def _certified_before(experiment: "Experiment", spec: MethodSpec, data: str) -> int:
    """How many certificates were made on the same samples before."""
    return sum(
        each.certificate is not None and each.data == data and each.method == spec.name
        for each in earlier(experiment.run)
    )


def _circumstances(experiment: "Experiment", spec: MethodSpec) -> Mapping[str, object]:
    """All that an answer depends on besides the setting and the sample."""
    recipe, weights = experiment.recipe, fingerprint(experiment.weights.weights)
    return {
        "method": spec.name,
        "weights": weights,
        "data": data_fingerprint(experiment),
        "samples": recipe.calibration.samples,
        "image_size": recipe.data.image_size,
        "prompt": recipe.data.prompt,
        "search": asdict(recipe.search),
        "conditions": asdict(experiment.conditions(spec.name)),
        "version": __version__,
    }


def _point(measured: Measured) -> Point:
    setting = measured.setting
    return Point(dict(setting.thresholds), measured.score, measured.reduction, dict(setting.decay))
