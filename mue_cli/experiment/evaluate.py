"""Evaluate a method on a split: predictions, scores, costs, and the record that the run keeps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mue_cli import __version__
from mue_cli.data.store.manifest import library_versions
from mue_cli.errors import MueError
from mue_cli.evaluation.costs import costs, time_against_full
from mue_cli.evaluation.oracle import find_oracle, oracle_method
from mue_cli.evaluation.predict import Prediction, predict
from mue_cli.evaluation.score import Scores, score
from mue_cli.exits.catalogue import CATALOGUE, FULL, ORACLE
from mue_cli.exits.methods import Method
from mue_cli.experiment import run_folder
from mue_cli.experiment.calibrate import sweep as sweep_settings
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.methods import decay_settings, refuse_fixed_thresholds
from mue_cli.experiment.predict import token_texts
from mue_cli.experiment.progress import counting
from mue_cli.experiment.stated import fingerprint_of, settled
from mue_cli.experiment.thresholds import earlier
from mue_cli.files import staged
from mue_cli.metrics.programs import check_metrics
from mue_cli.reports.record import Record, append_record, evaluation_id
from mue_cli.reports.traces import write_traces

QUICK_METRICS = ("BLEU", "CIDEr")
"""Of a curve's points; METEOR and SPICE take seconds each time."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation. record: the method's. full: the full model's on the same samples. curve: of
    the method's trade-off, from little to much saving. predictions: the method's, in order.
    """

    record: Record
    full: Record
    curve: tuple[Record, ...]
    predictions: tuple[Prediction, ...]


@holding_run("evaluate")
def evaluate(
    experiment: Experiment,
    method: str | None = None,
    split: str = "test",
    sweep: bool = False,
    metrics: Sequence[str] | None = None,
    spice_dir: Path | None = None,
    row: str | None = None,
) -> Evaluated:
    """Score a method and count its costs beside the full model's, on the same samples; add both
    records to the run, and write traces and predictions.

    method: of the catalogue, or the oracle; None for the recipe's exits.method. sweep: also the
    points of the method's trade-off curve. metrics: of captions, by name, each of which must be had
    (None: the recipe's, else all that can be had here). row: of the study that this evaluates.
    Raises MueError, MissingStepError.
    """
    name = method or experiment.recipe.exits.method
    wanted = _wanted_metrics(experiment, metrics)
    if experiment.task.generates:
        check_metrics(wanted or (), spice_dir)
    _check_sweep(experiment, name, sweep)
    experiment.need_trained()
    earlier(experiment.run)  # a damaged log is met before the work
    experiment = settled(experiment, name)
    thresholds = experiment.thresholds(name)
    own_id = _identity(experiment, name, (split, wanted, row, sweep, thresholds))
    points = _Points(experiment, split, wanted, spice_dir, own_id, name, row)
    point = points.at(name, thresholds)
    full = point if name == FULL.name else points.at(FULL.name, {})
    curve = tuple(each.against(full) for each in _curve(points, name, thresholds)) if sweep else ()
    record, whole = point.against(full), full.record
    evaluated = Evaluated(record, whole, curve, tuple(point.predictions))
    if experiment.processes.writes:
        _keep(experiment, evaluated, full.predictions)
    failed = {**whole.left_out, **record.left_out}
    for metric in wanted or ():
        if metric in failed:
            raise MueError(
                f"{metric} was asked for and failed: {failed[metric]}",
                f"all else was kept in {experiment.run.records}",
            )
    return evaluated


@dataclass(frozen=True)
class _Point:
    """One setting, evaluated."""

    record: Record
    predictions: list[Prediction]
    scores: Scores

    def against(self, full: "_Point") -> Record:
        """Return the record with the interval of its difference to the full model."""
        bounds = None if self is full else self.scores.difference(full.scores)
        if bounds is None:
            return self.record
        return replace(self.record, difference={self.record.metric: bounds})


@dataclass(frozen=True)
class _Points:
    """What all points of one evaluation share: id, and the study's row of its method."""

    experiment: Experiment
    split: str
    metrics: Sequence[str] | None
    spice_dir: Path | None
    id: str
    method: str
    row: str | None

    def at(self, name: str, thresholds: Mapping[str, float], point: float | None = None) -> _Point:
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
            seed=recipe.seed,
            num_samples=len(predictions),
            metric=metric,
            scores=scores.values,
            costs={**spent, **(one(lambda: self._measure(method)) if point is None else {})},
            settings=self._settings(method, thresholds),
            left_out=scores.left_out,
            versions={"mue": __version__, **library_versions()},
            confidence={metric: interval} if interval else {},
        )
        return _Point(record, predictions, scores)

    def _method(self, name: str, thresholds: Mapping[str, float]) -> Method:
        if name == ORACLE:
            return oracle_method(self.experiment.recipe.model.decompose)
        return self.experiment.method(name, thresholds)

    def _predict(self, method: Method) -> list[Prediction]:
        experiment = self.experiment
        everything = experiment.batches(self.split, experiment.recipe.evaluation.samples)
        batches = everything.share(experiment.processes)
        progress = counting(experiment.progress, f"evaluate {method.name}", len(batches.examples))
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


def _identity(experiment: Experiment, name: str, call: tuple[object, ...]) -> str:
    """Return the id of an evaluation: of the weights, the data, the recipe without its training,
    and what the call says besides.
    """
    weights = fingerprint_of(experiment, name if name in CATALOGUE else FULL.name)
    data, precision = experiment.data.fingerprint, experiment.precision
    recipe = {
        section: values
        for section, values in asdict(experiment.recipe).items()
        if section not in ("training", "calibration")
    }
    place = str(experiment.device)
    return evaluation_id(
        {"recipe": recipe, "method": name, "of": [weights, data, precision, place], "call": call}
    )


def _keep(
    experiment: Experiment, evaluated: Evaluated, full_predictions: Sequence[Prediction]
) -> None:
    """Add the records to the run, and replace traces and predictions: all at the end, so that an
    evaluation that is stopped leaves nothing.

    A prediction also holds its tokens, and what the full model says.
    """
    run, record, tokenizer = experiment.run, evaluated.record, experiment.predictor.tokenizer
    whole = () if evaluated.full is record else (evaluated.full,)
    results = [
        {
            "evaluation": record.id,
            **_result(experiment, each),
            "full": at_full_depth.text,
            "tokens": token_texts(each.tokens, tokenizer),
        }
        for each, at_full_depth in zip(evaluated.predictions, full_predictions, strict=True)
    ]
    traces = [each.trace for each in evaluated.predictions]
    with staged() as beside:
        write_traces(beside(run.traces), record.id, record.method, traces)
        run_folder.write_predictions(beside(run.predictions), results)
        append_record(run.records, record, *whole, *evaluated.curve)


def _curve(points: _Points, name: str, thresholds: Mapping[str, float]) -> Iterator[_Point]:
    """Evaluate the points of a method's trade-off curve, one after the other."""
    spec, experiment = CATALOGUE[name], points.experiment
    if spec.threshold == "layer":
        config = experiment.model.config
        deepest = min(config.num_encoder_layers, config.num_decoder_layers) - 1
        depths = [float(depth) for depth in range(deepest, 0, -1)]
        settings = {depth: dict.fromkeys(thresholds, depth) for depth in depths}
    else:
        settings = sweep_settings(experiment, spec)
    for point, setting in settings.items():
        yield points.at(name, setting, point)


def _check_sweep(experiment: Experiment, name: str, sweep: bool) -> None:
    spec = CATALOGUE.get(name)
    if sweep and (spec is None or not spec.has_curve):
        raise MueError(f"the method {name} has no threshold to sweep", "leave out --sweep")
    if sweep and spec is not None and spec.is_calibrated:
        refuse_fixed_thresholds(experiment.recipe, spec)


def _wanted_metrics(experiment: Experiment, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the metrics that are wanted by name, None for all that can be had."""
    wanted = experiment.recipe.evaluation.metrics if names is None else tuple(names)
    if wanted is not None and not experiment.task.generates:
        raise MueError(
            f"the task {experiment.task.name} is scored by its accuracy alone",
            "leave out --metrics and evaluation.metrics",
        )
    return wanted


def _result(experiment: Experiment, prediction: Prediction) -> dict[str, object]:
    """Return one line of predictions.json: COCO's result form for captions, the answer of a pair
    otherwise.
    """
    image_id: object = prediction.image_id
    if experiment.data.numeric_ids:
        image_id = int(prediction.image_id)
    result = {"image_id": image_id, experiment.task.result: prediction.text}
    if experiment.task.generates:
        return result
    return {"sample_id": prediction.sample_id, **result}
