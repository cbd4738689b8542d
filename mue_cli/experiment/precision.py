"""The precision of inference: the recipe's or, where that is `auto`, what calibration chose."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from mue_cli.calibration.precision import LEAST_SPEEDUP, Precision, PrecisionChoice
from mue_cli.cost.latency import interleaved_samples
from mue_cli.evaluation.predict import Predictor, predict, predict_batch
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.methods import Method, full
from mue_cli.experiment.progress import counting
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.experiment.timing import machine

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

TIMED_SAMPLES = 4


def precision_of(experiment: "Experiment") -> Precision:
    """Return the recipe's precision; for `auto` what the calibration of exits.method chose, float32
    before there was one. A choice made on another machine is noted.
    """
    recipe, run = experiment.recipe, experiment.run
    stated, method = recipe.inference.precision, recipe.exits.method
    if stated != "auto":
        return stated
    if not run.of_method(run.thresholds, method).exists():
        note = f"note: precision auto is float32 until `{run.command('calibrate')}` chose one"
        experiment.progress("precision", 0, 0, note)
        return "float32"
    card = read_thresholds(run, method)
    if card.machine and card.machine != machine(experiment):
        note = f"note: precision {card.conditions.precision} was chosen on {card.machine}"
        experiment.progress("precision", 0, 0, f"{note}; calibrate again for this machine")
    return card.conditions.precision


def choose_precision(experiment: "Experiment") -> PrecisionChoice:
    """Return the fastest precision of this machine whose score on val stays within
    inference.precision_tolerance of float32's.
    """
    exact, rounded = (
        experiment.predictor_of(experiment.model, experiment.tokenizer, precision=name)
        for name in ("float32", "bfloat16")
    )
    speedup = _speedup(experiment, exact, rounded)
    if speedup < LEAST_SPEEDUP:
        return PrecisionChoice("float32", speedup)
    batches = experiment.batches("val", experiment.recipe.calibration.samples)
    score, method = quick_score(experiment.task, batches), _full(experiment)
    scores = []
    for name, predictor in (("float32", exact), ("bfloat16", rounded)):
        progress = counting(experiment.progress, f"full model in {name}", len(batches.examples))
        scores.append(score(predict(predictor, method, batches, progress=progress)))
    least = (1.0 - experiment.recipe.inference.precision_tolerance) * scores[0]
    precision: Precision = "bfloat16" if scores[1] >= least else "float32"
    return PrecisionChoice(precision, speedup, len(batches.examples), scores[1], scores[0])


def with_precision(experiment: "Experiment", precision: Precision) -> "Experiment":
    """Return the same experiment, opened anew, whose recipe states a precision."""
    inference = replace(experiment.recipe.inference, precision=precision)
    return replace(experiment, recipe=replace(experiment.recipe, inference=inference))


def _speedup(experiment: "Experiment", exact: Predictor, rounded: Predictor) -> float:
    """Return the time of one predictor over that of the other, timed turn by turn."""
    batches = list(experiment.batches("val", TIMED_SAMPLES, batch_size=1))
    on_gpu, method = experiment.device.type == "cuda", _full(experiment)
    pair = interleaved_samples(
        batches,
        partial(predict_batch, exact, method),
        partial(predict_batch, rounded, method),
        synchronize=torch.cuda.synchronize if on_gpu else None,
        progress=counting(experiment.progress, "time float32 and bfloat16", len(batches)),
    )
    return pair.a.total_ms / pair.b.total_ms


def _full(experiment: "Experiment") -> Method:
    return full(experiment.recipe.model.decompose)
