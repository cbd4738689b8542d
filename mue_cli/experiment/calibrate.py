"""Choose a method's thresholds on `val`, for a reduction; and the settings of a trade-off curve."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from mue_cli.calibration.candidates import levels, without_decay
from mue_cli.calibration.search import Calibration, trade_off
from mue_cli.calibration.search import calibrate as search
from mue_cli.calibration.settings import Point
from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.errors import MueError
from mue_cli.evaluation.exit_scores import ExitScores, measure_exit_scores
from mue_cli.evaluation.predict import Prediction, predict
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.catalogue import MethodSpec
from mue_cli.exits.methods import build
from mue_cli.experiment.batches import Batches
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.methods import decay, refuse_fixed_thresholds, spec_of
from mue_cli.experiment.progress import counting
from mue_cli.experiment.run_folder import append_line
from mue_cli.experiment.thresholds import Thresholds, write_thresholds
from mue_cli.reports.saturation import Saturation

SWEEP_TARGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Reductions that a sweep of several thresholds aims at."""
EVALUATIONS_EACH = 4
SWEEP_POINTS = 8
"""Points of a sweep of one threshold."""


@dataclass(frozen=True)
class Calibrated:
    """thresholds: as they were stored. trials: every setting that was run, the full model first."""

    thresholds: Thresholds
    trials: tuple[Point, ...]


def calibrate(
    experiment: Experiment, target_reduction: float | None = None, method: str | None = None
) -> Calibrated:
    """Search the thresholds with the best score among those that reach a reduction on `val`, and
    store them.

    target_reduction: expected time reduction (Eq. 14), None for the recipe's. method: None for the
    recipe's exits.method. Raises MueError for a target out of reach, which states the largest.
    """
    recipe, run = experiment.recipe, experiment.run
    target = recipe.calibration.target_reduction if target_reduction is None else target_reduction
    if not 0.0 < target < 1.0:
        raise MueError(
            f"the target reduction is {target:g}, expected a fraction above 0 and below 1",
            "0.4 stands for 40 %",
        )
    spec = spec_of(method or recipe.exits.method)
    if not spec.is_calibrated:
        raise MueError(
            f"the method {spec.name} has no thresholds to search",
            "name one that has: --method mue",
        )
    refuse_fixed_thresholds(recipe, spec)
    experiment.need_trained()
    trials = Trials.of(experiment, spec)
    best = _search(trials, target)
    thresholds = Thresholds(
        thresholds=best.thresholds,
        target=target,
        achieved=best.reduction,
        metric=experiment.task.metric,
        score=best.score,
        full_score=best.full_score,
        split="val",
        samples=trials.num_samples,
        method=spec.name,
        conditions=experiment.conditions(spec.name),
    )
    write_thresholds(run, thresholds)
    return Calibrated(thresholds, best.evaluations)


def _search(trials: "Trials", target: float) -> Calibration:
    experiment, run = trials.experiment, trials.experiment.run
    log = run.of_method(run.calibration, trials.spec.name)
    log.unlink(missing_ok=True)

    def evaluate(thresholds: Mapping[str, float]) -> Point:
        point = trials.run(thresholds)
        append_line(log, asdict(point))
        return point

    most = experiment.recipe.calibration.max_evaluations
    progress = counting(experiment.progress, "calibrate", most)
    return search(trials.comparable, evaluate, target, most, progress)


@dataclass(frozen=True)
class Trials:
    """Settings of one method, run on the calibration samples of `val`.

    scores: what its rules would compare, of the full model, which has run already.
    """

    experiment: Experiment
    spec: MethodSpec
    scores: ExitScores

    @classmethod
    def of(cls, experiment: Experiment, spec: MethodSpec) -> "Trials":
        """Run the full model on the calibration samples."""
        return cls(experiment, spec, exit_scores(experiment, spec))

    @property
    def num_samples(self) -> int:
        return len(self.scores.predictions)

    @property
    def comparable(self) -> dict[str, np.ndarray]:
        """The exit scores as thresholds are compared with them: numbers of layers as fractions of
        the decoder's, and Eq. 11's decay taken out.
        """
        streams = dict(self.scores.streams)
        if self.spec.threshold == "agreement":
            streams["decoder"] = (streams["decoder"] - 1) / self._num_decoder_layers
        how = decay(self.experiment.recipe, self.experiment.task, self.spec)
        if how is not None:
            num_steps = self.experiment.recipe.search.max_tokens + 1
            steps = self.scores.steps
            streams["decoder"] = without_decay(streams["decoder"], steps, num_steps, how)
        return streams

    def run(self, thresholds: Mapping[str, float]) -> Point:
        """Run one setting and return it as a recipe would state it, with score and reduction."""
        stated = self._stated(thresholds)
        method = self.experiment.method(self.spec.name, stated)
        if method.can_exit:
            predictions = predict(self.experiment.predictor, method, self._batches)
        else:
            predictions = list(self.scores.predictions)
        config = self.experiment.model.config
        traces = [prediction.trace for prediction in predictions]
        reduction = expected_time_reduction(
            traces, config.num_encoder_layers, config.num_decoder_layers
        )
        return Point(stated, self._score(predictions), reduction.expected)

    def sweep(self) -> dict[float, dict[str, float]]:
        """Return settings from little to much saving, each under the number that makes it the same
        point for every seed.

        Of one threshold they are evenly spaced, by the share of what it can save (of a number of
        layers, by that number); of several the best of each reduction, by that reduction. A setting
        that would stand twice keeps its first number.
        """
        scores = self.comparable
        if list(scores) == ["decoder"]:
            shares = levels(scores["decoder"], SWEEP_POINTS).items()
            settings = {share: self._stated({"decoder": level}) for share, level in shares}
            if self.spec.threshold == "agreement":
                settings = {setting["decoder"]: setting for setting in settings.values()}
        else:
            total = 1 + len(SWEEP_TARGETS) * EVALUATIONS_EACH
            label = "settings for the sweep, on val"
            progress = counting(self.experiment.progress, label, total)
            points = trade_off(scores, self.run, SWEEP_TARGETS, EVALUATIONS_EACH, progress)
            settings = {target: dict(point.thresholds) for target, point in points.items()}
        first = {tuple(each.items()): number for number, each in reversed(settings.items())}
        return {
            number: each
            for number, each in settings.items()
            if first[tuple(each.items())] == number
        }

    def _stated(self, thresholds: Mapping[str, float]) -> dict[str, float]:
        """Return thresholds in the unit of a recipe: numbers of layers, not fractions of them."""
        if self.spec.threshold != "agreement":
            return dict(thresholds)
        layers = self._num_decoder_layers
        return {
            stream: float(max(1, math.ceil(value * layers))) for stream, value in thresholds.items()
        }

    @property
    def _num_decoder_layers(self) -> int:
        return self.experiment.model.config.num_decoder_layers

    @cached_property
    def _batches(self) -> Batches:
        return self.experiment.batches("val", self.experiment.recipe.calibration.samples)

    @cached_property
    def _score(self) -> Callable[[Sequence[Prediction]], float]:
        return quick_score(self.experiment.task, self._batches)


def exit_scores(experiment: Experiment, spec: MethodSpec) -> ExitScores:
    """Run the full model on the calibration samples of `val` and return what a method's rules
    would compare after every layer.

    Similarities are also written to saturation.npz, for the figure.
    """
    recipe = experiment.recipe
    batches = experiment.batches("val", recipe.calibration.samples)
    never = dict.fromkeys(spec.streams(recipe.model.decompose), 1.0)
    method = build(spec, never, recipe.model.decompose, head=experiment.exit_head(spec.name))
    progress = counting(experiment.progress, "full model on val", len(batches.examples))
    scores = measure_exit_scores(experiment.predictor, method, batches, progress)
    if spec.score is not None and spec.exits == "everywhere":
        about = {"recipe": recipe.name, "dataset": experiment.data.manifest.name, "split": "val"}
        Saturation(scores.streams, about).save(experiment.run.saturation)
    return scores
