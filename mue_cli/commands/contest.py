"""A method against full on the same samples: latency, parts, ceilings, and the document that `mue
bench` makes of them.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mue_cli.commands.display import progress, say
from mue_cli.commands.specimen import Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mue_cli.cost.latency import LatencyPair
    from mue_cli.data.batches import Batch
    from mue_cli.exits.methods import Method
    from mue_cli.exits.trace import Trace
    from mue_cli.inference.walk import Probe
    from mue_cli.profiling.ceilings import Ceilings
    from mue_cli.profiling.parts import Part, Profile, Watched

SECONDS = 40.0
"""About how long batch 1 may take, latency and parts: so many samples are timed, and no fewer than
LEAST_SAMPLES.
"""
LEAST_SAMPLES = 2
ABOVE_CEILING = 1.05
"""Share of a ceiling from which on the ceiling itself was measured too low."""


@dataclass(frozen=True)
class Contest:
    """What was measured. picture_ms: decoding, resizing and tokenising a sample, outside all other
    times. latencies: by batch size.
    """

    specimen: Specimen
    num_samples: int
    picture_ms: float
    ceilings: "Ceilings"
    full: "Profile"
    other: "Profile"
    expected: float
    latencies: "dict[int, LatencyPair]"


def measure(what: Specimen, batch_size: int | None, repeats: int) -> Contest:
    """Run everything, telling how far it is. repeats: timings of each sample."""
    import torch

    from mue_cli.evaluation.predict import time_against_full
    from mue_cli.profiling.ceilings import measure_ceilings

    synchronize = torch.cuda.synchronize if what.subject.device.type == "cuda" else None
    say("measuring what this machine can do at best")
    before = measure_ceilings(what.recipe.inference.precision, what.subject.device, synchronize)
    batches, picture_ms = what.timed_batches(_fitting(what, repeats))
    with progress("latency") as report:
        latencies = {1: time_against_full(what.subject, what.method, batches, repeats, report)}
    if batch_size is not None:
        with progress(f"latency of {batch_size} at a time") as report:
            latencies[batch_size] = time_against_full(
                what.subject, what.method, [what.batch(range(batch_size))], repeats, report
            )
    with progress("parts") as report:
        watched = _watch(what, batches, repeats, synchronize, report)
    ceilings = before.best(
        measure_ceilings(what.recipe.inference.precision, what.subject.device, synchronize)
    )
    return Contest(
        what,
        len(batches),
        picture_ms,
        ceilings,
        *_profiles(what, watched),
        _expected(what, watched[1]),
        latencies,
    )


def _fitting(what: Specimen, repeats: int) -> int:
    """Return how many samples to time, after a first turn that also builds what is built once."""
    from mue_cli.evaluation.predict import predict_batch
    from mue_cli.exits.methods import full

    batch, methods = what.batch([0]), (full(what.method.decompose), what.method)
    start = 0.0
    for _ in ("warm-up", "timed"):
        start = time.perf_counter()
        for method in methods:
            predict_batch(what.subject, method, batch)
    turns = 2 * repeats + 1  # latency with its own warm-up, then parts
    return min(
        max(int(SECONDS / (time.perf_counter() - start) / turns), LEAST_SAMPLES), len(what.examples)
    )


def _watch(
    what: Specimen,
    batches: "list[Batch]",
    repeats: int,
    synchronize: Callable[[], None] | None,
    report: Callable[[int, int], None],
) -> "list[list[Watched]]":
    from mue_cli.evaluation.predict import predict_batch
    from mue_cli.exits.methods import full
    from mue_cli.profiling.parts import watch_in_turn

    def run(batch: "Batch", method: "Method", probes: "Mapping[str, Probe]") -> "Trace":
        return predict_batch(what.subject, method, batch, probes)[0].trace

    methods = (full(what.method.decompose), what.method)
    return watch_in_turn(what.subject.model, methods, batches, run, repeats, synchronize, report)


def _profiles(what: Specimen, watched: "list[list[Watched]]") -> "tuple[Profile, Profile]":
    from mue_cli.cost.traffic import ValueSizes
    from mue_cli.exits.methods import full
    from mue_cli.profiling.parts import profile

    sizes = {"float32": ValueSizes(4, 4), "bfloat16": ValueSizes(2, 2)}[
        what.recipe.inference.precision
    ]
    config, image_size = what.subject.model.config, what.recipe.data.image_size
    methods = (full(what.method.decompose), what.method)
    first, second = (
        profile(runs, method, config, image_size, sizes, what.subject.num_classes)
        for runs, method in zip(watched, methods, strict=True)
    )
    return first, second


def _expected(what: Specimen, watched: "list[Watched]") -> float:
    from mue_cli.cost.reduction import expected_time_reduction

    config = what.subject.model.config
    return expected_time_reduction(
        [each.trace for each in watched], config.num_encoder_layers, config.num_decoder_layers
    ).expected


def _machine(what: Specimen) -> dict[str, object]:
    import torch

    on_gpu = what.subject.device.type == "cuda"
    return {
        "processor": torch.cuda.get_device_name() if on_gpu else _processor(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "precision": what.recipe.inference.precision,
    }


def _processor() -> str:
    """Return the processor's name; Linux alone tells it in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )


def document(contest: Contest) -> dict[str, Any]:
    """Return what bench.json holds: plain values, reductions as fractions, times per sample."""
    from mue_cli.profiling.verdict import Measured, flops_reduction, parts_reduction, verdict

    what, pair = contest.specimen, contest.latencies[1]
    method = what.method.name
    flops = flops_reduction(contest.full, contest.other)
    low, measured, high = pair.turns
    return {
        "recipe": what.recipe.name,
        "method": method,
        "thresholds": what.thresholds,
        "skipped_layers": what.method.skipped_layers,
        "weights": what.weights,
        "data": what.data,
        "samples": contest.num_samples,
        "image_size": what.recipe.data.image_size,
        "machine": _machine(what),
        "ceilings": asdict(contest.ceilings),
        "steps": {"full": contest.full.num_steps, method: contest.other.num_steps},
        "picture_ms": contest.picture_ms,
        "parts": {
            name: [_part(part, contest.ceilings) for part in profile.parts]
            for name, profile in (("full", contest.full), (method, contest.other))
        },
        "latency": {
            str(size): _latency(pair, size, method) for size, pair in contest.latencies.items()
        },
        "reduction": {
            "expected": contest.expected,
            "flops": flops,
            "parts": parts_reduction(contest.full, contest.other),
            "measured": measured,
        },
        "notes": _notes([contest.full, contest.other], contest.ceilings),
        "verdict": verdict(method, Measured(measured, low, high), flops, contest.full),
    }


def _notes(profiles: "list[Profile]", ceilings: "Ceilings") -> list[str]:
    """Return what a reader of the figures has to know."""
    above = any(
        part.flops and ceilings.least_ms(part.flops, part.bytes_read) > ABOVE_CEILING * part.ms
        for each in profiles
        for part in each.parts
    )
    busy = "parts lie above the ceilings: the machine was busier while those were measured; run it again when it is quiet"
    return [busy] if above else []


def _part(part: "Part", ceilings: "Ceilings") -> dict[str, object]:
    return {
        **asdict(part),
        "gflops_per_s": part.gflops_per_s,
        "gbytes_per_s": part.gbytes_per_s,
        "of_ceiling": ceilings.least_ms(part.flops, part.bytes_read) / part.ms
        if part.flops and part.ms
        else None,
    }


def _latency(pair: "LatencyPair", batch_size: int, method: str) -> dict[str, object]:
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
