"""Points of an evaluation: one setting of a method, run, scored, costed and timed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mue_cli import __version__
from mue_cli.data.store.manifest import library_versions
from mue_cli.evaluation.costs import costs, time_against_full
from mue_cli.evaluation.oracle import find_oracle, oracle_method
from mue_cli.evaluation.predict import Prediction, predict
from mue_cli.evaluation.score import Scores, score
from mue_cli.exits.catalogue import CATALOGUE, FULL, ORACLE
from mue_cli.exits.methods import Method
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.methods import decay_settings
from mue_cli.experiment.progress import counting
from mue_cli.reports.record import Record

SHUFFLED = "{} with shuffled pictures"
"""Name of the task's metric where every sample has another's picture (a control)."""
QUICK_METRICS = ("BLEU", "CIDEr")
"""Of a curve's points; METEOR and SPICE take seconds each time."""


@dataclass(frozen=True)
class Point:
    """One setting, evaluated."""

    record: Record
    predictions: list[Prediction]
    scores: Scores

    def against(self, full: "Point") -> Record:
        """Return the record with the interval of its difference to the full model."""
        bounds = None if self is full else self.scores.difference(full.scores)
        if bounds is None:
            return self.record
        return replace(self.record, difference={self.record.metric: bounds})


@dataclass(frozen=True)
class Points:
    """What all points of one evaluation share: id, and the study's row of its method."""

    experiment: Experiment
    split: str
    metrics: Sequence[str] | None
    spice_dir: Path | None
    id: str
    method: str
    row: str | None

    def at(self, name: str, thresholds: Mapping[str, float], point: float | None = None) -> Point:
        """Run a method, score it, and time it against `full`.

        point: number of a point of the method's curve, which is not timed; None for a setting of
        its own.
        """
        experiment, recipe = self.experiment, self.experiment.recipe
        method = self._method(name, thresholds)
        predictions = self._predict(method)
        one = experiment.processes.first
        scores = one(lambda: self._score(predictions, quick=point is not None))
        traces = [prediction.trace for prediction in predictions]
        spent = costs(experiment.predictor, method, traces, recipe.data.image_size)
        metric = experiment.task.metric
        values, intervals = dict(scores.values), {metric: scores.interval}
        if point is None and recipe.evaluation.shuffled_pictures:
            shuffled = self._predict(method, shuffled=True)
            control = one(lambda: score(experiment.task, shuffled, (metric,)))
            control_name = SHUFFLED.format(metric)
            values[control_name], intervals[control_name] = control.values[metric], control.interval
        record = Record(
            id=self.id,
            row=self.row if name == self.method else None,
            point=point,
            recipe=recipe.name,
            task=recipe.task,
            dataset=experiment.data.manifest.name,
            split=self.split,
            method=name,
            seed=recipe.seed,
            num_samples=len(predictions),
            metric=metric,
            scores=values,
            costs={**spent, **(one(lambda: self._measure(method)) if point is None else {})},
            settings=self._settings(method, thresholds),
            left_out=scores.left_out,
            versions={"mue": __version__, **library_versions()},
            confidence={name: bounds for name, bounds in intervals.items() if bounds},
        )
        return Point(record, predictions, scores)

    def _method(self, name: str, thresholds: Mapping[str, float]) -> Method:
        if name == ORACLE:
            return oracle_method(self.experiment.recipe.model.decompose)
        return self.experiment.method(name, thresholds)

    def _predict(self, method: Method, shuffled: bool = False) -> list[Prediction]:
        experiment = self.experiment
        everything = experiment.batches(self.split, experiment.recipe.evaluation.samples)
        what = f"evaluate {method.name}"
        if shuffled:
            everything = everything.with_shuffled_pictures(experiment.recipe.seed)
            what += " with shuffled pictures"
        batches = everything.share(experiment.processes)
        progress = counting(experiment.progress, what, len(batches.examples))
        if method.name == ORACLE:
            predictions = find_oracle(experiment.predictor, method.decompose, batches, progress)
        else:
            predictions = predict(experiment.predictor, method, batches, progress=progress)
        whole = len(everything.examples)
        return experiment.processes.merge(batches.in_order(predictions), whole)

    def _score(self, predictions: list[Prediction], quick: bool) -> Scores:
        experiment, metrics = self.experiment, self.metrics
        if quick and metrics is None and experiment.task.generates:
            metrics = QUICK_METRICS

        def progress(done: int, total: int, what: str) -> None:
            experiment.progress("score", done, total, what)

        folder = None if quick else self.spice_dir
        scores = score(experiment.task, predictions, metrics, progress, folder)
        for note in () if quick else scores.notes:
            experiment.progress("score", 0, 0, f"note: {note}")
        return scores

    def _measure(self, method: Method) -> dict[str, float]:
        """Time the method against `full` one sample at a time, turn by turn; nothing where there is
        nothing to time.
        """
        experiment = self.experiment
        samples = experiment.recipe.evaluation.timed_samples
        if method.name in (FULL.name, ORACLE) or samples == 0:
            return {}
        batches = list(experiment.batches(self.split, samples, batch_size=1))
        progress = counting(experiment.progress, "time against full", 0)
        pair = time_against_full(experiment.predictor, method, batches, progress=progress)
        return {
            "measured": pair.reduction,
            "latency_ms": pair.a.median_ms,
            "full_latency_ms": pair.b.median_ms,
        }

    def _settings(self, method: Method, thresholds: Mapping[str, float]) -> dict[str, object]:
        """Return what a reader of the record needs to know about the method, as JSON would give it
        back.
        """
        experiment, recipe = self.experiment, self.experiment.recipe
        settings: dict[str, object] = {
            "decompose": recipe.model.decompose,
            "device": str(experiment.device),
            "precision": experiment.precision,
        }
        if experiment.run.weights:
            settings["weights"] = experiment.run.weights
        if experiment.task.generates:
            settings["search"] = asdict(recipe.search)
        if thresholds:
            settings["thresholds"] = dict(thresholds)
            if experiment.task.generates:
                settings["skipped_layers"] = method.skipped_layers
            settings |= decay_settings(recipe, experiment.task, CATALOGUE[method.name])
        return settings
