"""Evaluate a method on a split: predictions, scores, costs, and the record that the run keeps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.evaluation.predict import Prediction
from mue_cli.exits.catalogue import CATALOGUE, FULL
from mue_cli.experiment import run_folder
from mue_cli.experiment.batches import tell_cut
from mue_cli.experiment.calibrate import sweep as sweep_settings
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.methods import refuse_fixed_thresholds
from mue_cli.experiment.points import Point, Points
from mue_cli.experiment.predict import token_texts
from mue_cli.experiment.stated import fingerprint_of, settled
from mue_cli.experiment.thresholds import earlier
from mue_cli.files import staged
from mue_cli.metrics.programs import check_metrics
from mue_cli.reports.record import Record, append_record, evaluation_id
from mue_cli.reports.traces import write_traces


@dataclass(frozen=True)
class Evaluated:
    """One evaluation. record: the method's. full: the full model's on the same samples. curve: of
    the method's trade-off, from little to much saving. predictions: the method's, in order.
    hypothesis_only: accuracy on the whole split, in per cent, of a linear classifier that sees
    neither pictures nor premises, where known.
    """

    record: Record
    full: Record
    curve: tuple[Record, ...]
    predictions: tuple[Prediction, ...]
    hypothesis_only: float | None = None


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
    points = Points(experiment, split, wanted, spice_dir, own_id, name, row)
    tell_cut(experiment, points.batches)
    point = points.at(name, thresholds)
    full = point if name == FULL.name else points.at(FULL.name, {})
    curve = tuple(each.against(full) for each in _curve(points, name, thresholds)) if sweep else ()
    record, whole = point.against(full), full.record
    alone = _hypothesis_only(experiment, split)
    evaluated = Evaluated(record, whole, curve, tuple(point.predictions), alone)
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


def _hypothesis_only(experiment: Experiment, split: str) -> float | None:
    known = experiment.data.manifest.text_only_accuracy  # of pairs, and of `test`
    if known is None or not experiment.task.answers or split != "test":
        return None
    return 100.0 * known


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


def _curve(points: Points, name: str, thresholds: Mapping[str, float]) -> Iterator[Point]:
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
