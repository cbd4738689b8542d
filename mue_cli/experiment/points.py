"""Points of an evaluation: one setting of a method, run, scored, costed and timed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from mue_cli import __version__
from mue_cli.data.disk import fingerprint
from mue_cli.data.store.manifest import library_versions
from mue_cli.evaluation.costs import costs, time_against_full
from mue_cli.evaluation.oracle import find_oracle, oracle_method
from mue_cli.evaluation.predict import Prediction, predict
from mue_cli.evaluation.score import Scores, score
from mue_cli.exits.catalogue import CATALOGUE, FULL, ORACLE
from mue_cli.exits.methods import Method
from mue_cli.experiment.batches import Batches
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.inputs import inputs_of
from mue_cli.experiment.methods import decay_settings
from mue_cli.experiment.progress import counting
from mue_cli.experiment.run_folder import Run
from mue_cli.recipe.recipe import load
from mue_cli.reports.inputs import EXIT_HEAD
from mue_cli.reports.record import SHUFFLED, Record

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
        difference = {**self.record.difference, self.record.metric: bounds}
        return replace(self.record, difference=difference)


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
        method, seed = self._method(name, thresholds), self.trained_seed
        shuffled = self.shuffled if point is None else None
        predictions = self._predict(method, self.batches, oracle=name == ORACLE)
        one = experiment.processes.first
        scores = one(lambda: self._score(predictions, quick=point is not None))
        traces = [prediction.trace for prediction in predictions]
        spent = costs(experiment.predictor, method, traces, recipe.data.image_size)
        metric = experiment.task.metric
        interval = scores.interval
        record = Record(
            id=self.id,
            row=self.row if name == self.method else None,
            point=point,
            recipe=recipe.name,
            task=recipe.task,
            dataset=experiment.data.manifest.name,
            split=self.split,
            method=name,
            seed=seed,
            num_samples=len(predictions),
            metric=metric,
            scores=scores.values,
            costs={**spent, **(one(lambda: self._measure(method)) if point is None else {})},
            settings=self._settings(method, thresholds),
            left_out=scores.left_out,
            versions={"mue": __version__, **library_versions()},
            confidence={metric: interval} if interval else {},
        )
        if shuffled is not None:
            record = _with_control(record, scores, self._score_shuffled(method, shuffled))
        return Point(record, predictions, scores)

    def _method(self, name: str, thresholds: Mapping[str, float]) -> Method:
        if name == ORACLE:
            return oracle_method(self.experiment.recipe.model.decompose)
        return self.experiment.method(name, thresholds)

    @cached_property
    def trained_seed(self) -> int:
        """Seed of the training that the weights are of, as the recipe beside them says: an
        evaluation with another seed is no other training. Without one, the recipe's.
        """
        made = Run(self.experiment.weights.folder)
        is_run = made.checkpoint.exists() and made.recipe.exists()
        return load(made.recipe).seed if is_run else self.experiment.recipe.seed

    @cached_property
    def batches(self) -> Batches:
        """The samples that all points share."""
        return self.experiment.batches(self.split, self.experiment.recipe.evaluation.samples)

    @cached_property
    def shuffled(self) -> Batches | None:
        """The same samples with others' pictures, where the recipe asks for that control.

        Raises DataError when all samples show one picture.
        """
        recipe = self.experiment.recipe
        if not recipe.evaluation.shuffled_pictures:
            return None
        return self.batches.with_shuffled_pictures(recipe.seed)

    def _predict(self, method: Method, batches: Batches, oracle: bool) -> list[Prediction]:
        """Predict for all samples, shared among the processes."""
        experiment = self.experiment
        own = batches.share(experiment.processes)
        control = "" if batches is self.batches else " with shuffled pictures"
        what = f"evaluate {method.name}{control}"
        progress = counting(experiment.progress, what, len(own.examples))
        if oracle:
            predictions = find_oracle(experiment.predictor, method.decompose, own, progress)
        else:
            predictions = predict(experiment.predictor, method, own, progress=progress)
        return experiment.processes.merge(own.in_order(predictions), len(batches.examples))

    def _score_shuffled(self, method: Method, batches: Batches) -> Scores:
        """Score what a method says about others' pictures by the task's own metric. The oracle says
        what the full model says.
        """
        experiment, metric = self.experiment, self.experiment.task.metric
        predictions = self._predict(method, batches, oracle=False)
        return experiment.processes.first(
            lambda: score(experiment.task, predictions, (metric,), self._tell_scoring)
        )

    def _tell_scoring(self, done: int, total: int, what: str) -> None:
        self.experiment.progress("score", done, total, what)

    def _score(self, predictions: list[Prediction], quick: bool) -> Scores:
        experiment, metrics = self.experiment, self.metrics
        if quick and metrics is None and experiment.task.generates:
            metrics = QUICK_METRICS
        folder = None if quick else self.spice_dir
        scores = score(experiment.task, predictions, metrics, self._tell_scoring, folder)
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
            "latency_ms": pair.a.total_ms / len(batches),
            "full_latency_ms": pair.b.total_ms / len(batches),
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
            **inputs_of(experiment),
        }
        if recipe.evaluation.shuffled_pictures and recipe.seed != self.trained_seed:
            settings["shuffled_seed"] = recipe.seed
        if method.name in CATALOGUE and CATALOGUE[method.name].has_own_head:
            settings[EXIT_HEAD] = fingerprint(experiment.run.exit_head(method.name))
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


def _with_control(record: Record, scores: Scores, control: Scores) -> Record:
    """Return the record with the scores of others' pictures beside its own, and how far they are
    apart, sample by sample.
    """
    name = SHUFFLED.format(record.metric)
    apart = control.difference(scores)
    return replace(
        record,
        scores={
            **record.scores,
            **{SHUFFLED.format(each): value for each, value in control.values.items()},
        },
        confidence={**record.confidence, **({name: control.interval} if control.interval else {})},
        difference={**record.difference, **({name: apart} if apart else {})},
    )
