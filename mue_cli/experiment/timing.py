"""Timing for latency targets: parts measured on this machine, and a setting verified on it."""

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mue_cli.evaluation.costs import time_against_full
from mue_cli.evaluation.latency_model import LatencyModel, time_runs
from mue_cli.evaluation.predict import Predictor, predict_batch
from mue_cli.exits.catalogue import FULL, STATIC, encoder_streams
from mue_cli.exits.methods import Method
from mue_cli.exits.trace import Trace
from mue_cli.experiment.progress import counting

if TYPE_CHECKING:
    from mue_cli.data.batches import Batch
    from mue_cli.experiment.experiment import Experiment

NUM_SAMPLES = 4


def latency_model(experiment: "Experiment") -> LatencyModel:
    """What the parts of a prediction take: static settings, a stream early in each, timed turn by
    turn on a few samples.
    """
    batches = list(experiment.batches("val", NUM_SAMPLES, batch_size=1))
    predictor = experiment.predictor
    runs = [
        partial(_trace, predictor, method, batch)
        for method in _methods(experiment)
        for batch in batches
    ]
    progress = counting(experiment.progress, "time the parts", 0)
    traces, times = time_runs(runs, synchronize=_synchronize(predictor), progress=progress)
    return LatencyModel.fit(traces, times)


def verified(experiment: "Experiment", method: Method) -> float:
    """Measured reduction of a method: timed against the full model, turn by turn."""
    samples = max(NUM_SAMPLES, experiment.recipe.evaluation.timed_samples)
    batches = list(experiment.batches("val", samples, batch_size=1))
    progress = counting(experiment.progress, "time against full", 0)
    return time_against_full(experiment.predictor, method, batches, progress=progress).reduction


def machine(experiment: "Experiment") -> str:
    """The processor in words, with its threads."""
    name = processor(experiment.device)
    on_gpu = experiment.device.type == "cuda"
    return name if on_gpu else f"{name}, {torch.get_num_threads()} threads"


def processor(device: torch.device) -> str:
    """The name of what computes; Linux alone tells a processor's in a file."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _methods(experiment: "Experiment") -> list[Method]:
    """The full model, each stream alone leaving after its first layer or half-way, and all."""
    config, decompose = experiment.model.config, experiment.recipe.model.decompose
    encoder = dict.fromkeys(encoder_streams(decompose), config.num_encoder_layers)
    deepest = {**encoder, "decoder": config.num_decoder_layers}
    settings = [
        {**deepest, stream: layer}
        for stream, layers in deepest.items()
        for layer in sorted({1, (layers + 1) // 2})
    ]
    static = [
        experiment.method(STATIC.name, each) for each in [*settings, dict.fromkeys(deepest, 1)]
    ]
    return [experiment.method(FULL.name, {}), *static]


def _trace(predictor: Predictor, method: Method, batch: "Batch") -> Trace:
    return predict_batch(predictor, method, batch)[0].trace


def _synchronize(predictor: Predictor) -> Callable[[], object] | None:
    return torch.cuda.synchronize if predictor.device.type == "cuda" else None
