"""What a lower precision and exits save on this machine, each alone and both together."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mue_cli.calibration.precision import Precision
from mue_cli.data.batches import Batch
from mue_cli.evaluation.latency_model import time_runs
from mue_cli.evaluation.predict import Predictor, predict_batch
from mue_cli.exits.methods import Method, full
from mue_cli.experiment.progress import counting
from mue_cli.profiling.ceilings import Ceilings, measure_ceilings

if TYPE_CHECKING:
    from mue_cli.exits.trace import Trace
    from mue_cli.experiment.benchmark_setup import BenchmarkSetup

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SAMPLES = 2


def compare_precisions(
    setup: "BenchmarkSetup",
    batches: Sequence[Batch],
    repeats: int,
    synchronize: Callable[[], object] | None,
    ceilings: Ceilings,
) -> dict[str, Any]:
    """Time full and the method in every precision, turn by turn on a few batches of one.

    ceilings: of this machine in the experiment's own precision.
    Returns "gflops_per_s", by precision the rate of large matrix products here; and "ms", by
    precision and method, milliseconds a sample: empty where bfloat16's products are no faster than
    float32's, since the model is then only slower.
    """
    own, device = setup.experiment.precision, setup.predictor.device
    rates = {
        name: (ceilings if name == own else measure_ceilings(name, device, synchronize)).gflops
        for name in PRECISIONS
    }
    if rates["bfloat16"] <= rates["float32"]:
        return {"gflops_per_s": rates, "ms": {}}
    few = batches[:SAMPLES]
    runs, names = list[Callable[[], "Trace"]](), list[tuple[str, str]]()
    for precision in PRECISIONS:
        predictor, method = setup.at(precision)
        for each in (full(method.decompose), method):
            names.append((precision, each.name))
            runs += [partial(_trace, predictor, each, batch) for batch in few]
    progress = counting(setup.experiment.progress, "both precisions", 0)
    _, times = time_runs(runs, repeats, synchronize, progress)
    per_sample = {
        name: sum(times[number * len(few) : (number + 1) * len(few)]) / len(few)
        for number, name in enumerate(names)
    }
    milliseconds = {
        precision: {name: ms for (each, name), ms in per_sample.items() if each == precision}
        for precision in PRECISIONS
    }
    return {"gflops_per_s": rates, "ms": milliseconds}


def _trace(predictor: Predictor, method: Method, batch: Batch) -> "Trace":
    return predict_batch(predictor, method, batch)[0].trace
