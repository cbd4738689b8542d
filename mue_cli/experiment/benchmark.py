"""A method against full on the same samples: latency, the breakdown into parts, the roofline of
this machine, and the document that `mue bench` makes of them.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from mue_cli.cost.latency import LatencyPair
from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.cost.traffic import ValueSizes
from mue_cli.data.batches import Batch
from mue_cli.evaluation.costs import time_against_full
from mue_cli.evaluation.predict import predict_batch
from mue_cli.exits.methods import Method, full
from mue_cli.exits.trace import Trace
from mue_cli.experiment.benchmark_precision import compare_precisions
from mue_cli.experiment.benchmark_setup import BenchmarkSetup, open_setup
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.progress import counting
from mue_cli.experiment.timing import processor
from mue_cli.files import write_text
from mue_cli.inference.walk import Probe
from mue_cli.profiling.ceilings import Ceilings, measure_ceilings
from mue_cli.profiling.parts import Part, Profile, Watched, profile, watch_in_turn
from mue_cli.profiling.verdict import Measured, flops_reduction, parts_reduction, verdict

SECONDS = 40.0
"""About how long batch 1 may take, latency and parts: so many samples are timed, and no fewer than
LEAST_SAMPLES.
"""
LEAST_SAMPLES = 2
ABOVE_CEILING = 1.05
"""Share of a ceiling from which on the ceiling itself was measured too low."""
VALUE_SIZES = {"float32": ValueSizes(4, 4), "bfloat16": ValueSizes(2, 2)}


@dataclass(frozen=True)
class Benchmark:
    """document: what bench.json holds: plain values, reductions as fractions, times per sample."""

    document: Mapping[str, Any]


@dataclass(frozen=True)
class _Measurements:
    """What was measured.

    picture_ms: decoding, resizing and tokenising a sample, outside all other times. latencies: by
    batch size.
    """

    num_samples: int
    picture_ms: float
    ceilings: Ceilings
    full: Profile
    other: Profile
    expected: float
    latencies: dict[int, LatencyPair]
    precisions: dict[str, Any]


def benchmark(
    experiment: Experiment,
    method: str | None = None,
    random: str | None = None,
    batch_size: int | None = None,
    repeats: int = 3,
) -> Benchmark:
    """Time a method against full, and every part of the model beside what this machine can do at
    best; write bench.json.

    random: a preset whose weights are drawn. batch_size: also measure in batches of this size.
    repeats: timings of each sample. Raises what `open_setup` raises.
    """
    setup = open_setup(experiment, method, random)
    document = _document(setup, _measure(setup, batch_size, repeats))
    write_text(experiment.run.bench, json.dumps(document, indent=2) + "\n")
    return Benchmark(document)


def _measure(setup: BenchmarkSetup, batch_size: int | None, repeats: int) -> _Measurements:
    experiment, predictor, method = setup.experiment, setup.predictor, setup.method
    tell, precision = experiment.progress, experiment.precision
    synchronize = torch.cuda.synchronize if predictor.device.type == "cuda" else None
    tell("bench", 0, 0, "measuring what this machine can do at best")
    before = measure_ceilings(precision, predictor.device, synchronize)
    batches, picture_ms = setup.timed_batches(_fitting(setup, repeats))
    report = counting(tell, "latency", 0)
    latencies = {1: time_against_full(predictor, method, batches, repeats, report)}
    if batch_size is not None:
        report = counting(tell, f"latency of {batch_size} at a time", 0)
        together = [setup.batch(range(batch_size))]
        latencies[batch_size] = time_against_full(predictor, method, together, repeats, report)
    methods = (full(method.decompose), method)
    run, report = partial(_run, predictor), counting(tell, "parts", 0)
    watched = watch_in_turn(predictor.model, methods, batches, run, repeats, synchronize, report)
    ceilings = before.best(measure_ceilings(precision, predictor.device, synchronize))
    first, second = (
        _profile(setup, runs, each) for runs, each in zip(watched, methods, strict=True)
    )
    precisions = compare_precisions(setup, batches, repeats, synchronize, ceilings)
    expected = _expected(setup, watched[1])
    return _Measurements(
        len(batches), picture_ms, ceilings, first, second, expected, latencies, precisions
    )


def _run(predictor: Any, batch: Batch, method: Method, probes: Mapping[str, Probe]) -> Trace:
    return predict_batch(predictor, method, batch, probes)[0].trace


def _fitting(setup: BenchmarkSetup, repeats: int) -> int:
    """Return how many samples to time, after a first turn that also builds what is built once."""
    batch, methods = setup.batch([0]), (full(setup.method.decompose), setup.method)
    start = 0.0
    for _ in ("warm-up", "timed"):
        start = time.perf_counter()
        for method in methods:
            predict_batch(setup.predictor, method, batch)
    turns = 2 * repeats + 1  # latency with its own warm-up, then parts
    fitting = int(SECONDS / (time.perf_counter() - start) / turns)
    return min(max(fitting, LEAST_SAMPLES), len(setup.examples))


def _profile(setup: BenchmarkSetup, watched: list[Watched], method: Method) -> Profile:
    recipe, predictor = setup.experiment.recipe, setup.predictor
    sizes = VALUE_SIZES[setup.experiment.precision]
    config, classes = predictor.model.config, predictor.num_classes
    return profile(watched, method, config, recipe.data.image_size, sizes, classes)


def _expected(setup: BenchmarkSetup, watched: list[Watched]) -> float:
    config = setup.predictor.model.config
    layers = (config.num_encoder_layers, config.num_decoder_layers)
    return expected_time_reduction([each.trace for each in watched], *layers).expected


def _document(setup: BenchmarkSetup, measured: _Measurements) -> dict[str, Any]:
    recipe, pair = setup.experiment.recipe, measured.latencies[1]
    name, flops = setup.method.name, flops_reduction(measured.full, measured.other)
    low, median, high = pair.turns
    both = (("full", measured.full), (name, measured.other))
    return {
        "recipe": recipe.name,
        "method": name,
        "thresholds": setup.thresholds,
        "skipped_layers": setup.method.skipped_layers,
        "weights": setup.weights,
        "data": setup.data,
        "samples": measured.num_samples,
        "image_size": recipe.data.image_size,
        "machine": _machine(setup),
        "ceilings": asdict(measured.ceilings),
        "steps": {which: each.num_steps for which, each in both},
        "picture_ms": measured.picture_ms,
        "parts": {
            which: [_part(part, measured.ceilings) for part in each.parts] for which, each in both
        },
        "latency": {
            str(size): _latency(each, size, name) for size, each in measured.latencies.items()
        },
        "reduction": {
            "expected": measured.expected,
            "flops": flops,
            "parts": parts_reduction(measured.full, measured.other),
            "measured": median,
        },
        "precisions": measured.precisions,
        "notes": _notes([measured.full, measured.other], measured.ceilings),
        "verdict": verdict(name, Measured(median, low, high), flops, measured.full),
    }


def _machine(setup: BenchmarkSetup) -> dict[str, object]:
    return {
        "processor": processor(setup.predictor.device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "precision": setup.experiment.precision,
    }


def _notes(profiles: list[Profile], ceilings: Ceilings) -> list[str]:
    """Return what a reader of the figures has to know."""
    above = any(
        part.flops and ceilings.least_ms(part.flops, part.bytes_read) > ABOVE_CEILING * part.ms
        for each in profiles
        for part in each.parts
    )
    busy = "parts lie above the ceilings: the machine was busier while those were measured"
    return [f"{busy}; run it again when it is quiet"] if above else []


def _part(part: Part, ceilings: Ceilings) -> dict[str, object]:
    known = part.flops and part.ms
    of_ceiling = ceilings.least_ms(part.flops, part.bytes_read) / part.ms if known else None
    return {
        **asdict(part),
        "gflops_per_s": part.gflops_per_s,
        "gbytes_per_s": part.gbytes_per_s,
        "of_ceiling": of_ceiling,
    }


def _latency(pair: LatencyPair, batch_size: int, method: str) -> dict[str, object]:
    """Return milliseconds per sample, and the reduction turn by turn: its median and quartiles."""
    times = {
        name: {
            "median_ms": each.median_ms / batch_size,
            "quartiles_ms": [quartile / batch_size for quartile in each.quartiles_ms],
        }
        for name, each in (("full", pair.b), (method, pair.a))
    }
    low, middle, high = pair.turns
    return {**times, "reduction": middle, "reduction_quartiles": [low, high]}
