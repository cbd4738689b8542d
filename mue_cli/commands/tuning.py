"""Settings of one method tried on the calibration samples of `val`: what `mue calibrate` searches
and `mue evaluate --sweep` draws from.

Imported by commands inside their functions only: it brings torch along.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mue_cli.calibration.candidates import levels, without_decay
from mue_cli.calibration.search import Point, trade_off
from mue_cli.commands.display import progress
from mue_cli.commands.workbench import SplitBatches, Workbench
from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.evaluation.exit_scores import Profiles
from mue_cli.evaluation.predict import Prediction, Subject, predict, quick_score
from mue_cli.experiment import build

SWEEP_TARGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Reductions that a sweep of several thresholds aims at."""
EVALUATIONS_EACH = 4
SWEEP_POINTS = 8
"""Points of a sweep of one threshold."""


@dataclass(frozen=True)
class Tuning:
    """A method on `val`. profiles: what its rules would have seen of the full model, which has run
    already.
    """

    workbench: Workbench
    subject: Subject
    name: str
    profiles: Profiles

    @classmethod
    def of(cls, workbench: Workbench, subject: Subject, name: str) -> "Tuning":
        """Run the full model on the calibration samples."""
        never = dict.fromkeys(build.streams(workbench.recipe, name), 1.0)
        return cls(
            workbench, subject, name, workbench.profiles(subject, workbench.method(name, never))
        )

    @property
    def num_samples(self) -> int:
        return len(self.profiles.predictions)

    @property
    def comparable(self) -> dict[str, np.ndarray]:
        """The profiles as thresholds are compared with them: the decoder's with Eq. 11's decay
        taken out.
        """
        found = dict(self.profiles.streams)
        decay = build.decay(self.workbench.recipe, self.name)
        if decay is not None:
            num_steps = self.workbench.recipe.search.max_tokens + 1
            found["decoder"] = without_decay(
                found["decoder"], self.profiles.steps, num_steps, decay
            )
        return found

    def run(self, thresholds: Mapping[str, float]) -> Point:
        """Run one setting and return it as the recipe would state it, with its score and reduction."""
        stated = self._stated(thresholds)
        method = self.workbench.method(self.name, stated)
        exits = any(rule.can_fire for rule in method.rules.values())
        predictions = (
            predict(self.subject, method, self._batches)
            if exits
            else list(self.profiles.predictions)
        )
        config = self.subject.model.config
        traces = [prediction.trace for prediction in predictions]
        reduction = expected_time_reduction(
            traces, config.num_encoder_layers, config.num_decoder_layers
        )
        return Point(stated, self._score(predictions), reduction.expected)

    def sweep(self) -> dict[float, dict[str, float]]:
        """Return settings from little to much saving, each under the number that makes it the same
        point for every seed.

        Of one threshold they are evenly spaced, by the share of what it can save (pabee: by its
        patience); of several the best found for each reduction, by that reduction. A setting that
        would stand twice keeps its first number.
        """
        profiles = self.comparable
        if list(profiles) == ["decoder"]:
            settings = {
                share: self._stated({"decoder": level})
                for share, level in levels(profiles["decoder"], SWEEP_POINTS).items()
            }
            if self.name == "pabee":
                settings = {setting["decoder"]: setting for setting in settings.values()}
        else:
            with progress("settings for the sweep, on val") as report:
                points = trade_off(profiles, self.run, SWEEP_TARGETS, EVALUATIONS_EACH, report)
            settings = {target: dict(point.thresholds) for target, point in points.items()}
        first = {tuple(setting.items()): number for number, setting in reversed(settings.items())}
        return {
            number: setting
            for number, setting in settings.items()
            if first[tuple(setting.items())] == number
        }

    def _stated(self, thresholds: Mapping[str, float]) -> dict[str, float]:
        """Return thresholds as a recipe states them: pabee's profile is in fractions of the layers,
        its patience is a number of layers.
        """
        if self.name != "pabee":
            return dict(thresholds)
        num_layers = self.subject.model.config.num_decoder_layers
        return {
            stream: float(max(1, math.ceil(value * num_layers)))
            for stream, value in thresholds.items()
        }

    @cached_property
    def _batches(self) -> SplitBatches:
        return self.workbench.split("val", self.workbench.recipe.calibration.samples)

    @cached_property
    def _score(self) -> Callable[[Sequence[Prediction]], float]:
        return quick_score(self.workbench.task, self._batches)
