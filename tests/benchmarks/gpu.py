"""Inference and training of OFA-base at 480 px on a GPU: what precision, recorded programs (CUDA
graphs) and exits are worth there.

    PYTHONPATH=. python tests/benchmarks/gpu.py --out FOLDER [--parts inference training bench]
    [--seconds 230]

Weights are random: times do not depend on them, and generation is made to last 17 steps. Programs
are timed turn by turn, medians. `--dry-run` does the same with a tiny model on the processor, to
see that all of it runs; its figures mean nothing. Needs torch, numpy, pillow, safetensors,
tokenizers, pydantic, PyYAML and filelock.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from traces import traces_of

from mue_cli.cost.flops import flops_reduction
from mue_cli.exits.catalogue import MUE, STATIC
from mue_cli.exits.methods import Method, build, full
from mue_cli.exits.observation import Observation
from mue_cli.exits.similarity import SIMILARITY
from mue_cli.exits.trace import Trace
from mue_cli.inference.cuda.recorder import Recorder
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import at_precision
from mue_cli.inference.search import Generated, generate
from mue_cli.model.config import OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.profiling.ceilings import measure_ceilings
from mue_cli.profiling.parts import watch
from mue_cli.profiling.stopwatch import Stopwatch
from mue_cli.recipe.recipe import SearchSection

PROMPT = [0, 99, 473, 5, 2274, 6190, 116, 2]
STREAMS = ("image", "text", "decoder")
DEPTHS = (2, 3, 4)
"""Layers near which `mue` leaves, one threshold of each stream for every depth."""
SIZES = ((8, 5), (1, 1), (1, 5), (64, 1))
"""Batch size and beam."""
TINY = OFAConfig(
    vocab_size=7000,
    embed_dim=32,
    ffn_dim=64,
    num_heads=2,
    num_encoder_layers=4,
    num_decoder_layers=4,
    resnet_blocks=(1, 1, 1),
    resnet_width=8,
)
WARM_UPS = 1
POINTS = 0.10
"""How far a measured reduction may stay behind that of the FLOPs."""

Results = dict[str, object]


@dataclass(frozen=True)
class Setting:
    """device: cuda, or cpu in a dry run. deadline: by time.monotonic."""

    device: torch.device
    dry: bool
    deadline: float
    out: Path

    @property
    def image_size(self) -> int:
        return 32 if self.dry else 480

    @property
    def repeats(self) -> int:
        return 1 if self.dry else 5

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def model(self) -> OFA:
        torch.manual_seed(0)
        config = TINY if self.dry else preset("base")
        model = OFA(replace(config, init_active_layers=None)).eval()
        return model.requires_grad_(False).to(self.device)

    def inputs(self, rows: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        size = (rows, 3, self.image_size, self.image_size)
        images = torch.rand(*size, generator=generator) * 2 - 1
        return images.to(self.device), torch.tensor([PROMPT] * rows).to(self.device)

    def recorder(self) -> Recorder:
        """Return a recorder; in a dry run its programs are the functions themselves."""
        if self.device.type == "cuda":
            return Recorder()
        return Recorder(lambda function, inputs: function)


@dataclass(frozen=True)
class Side:
    """A model at a precision, with recorded programs or without."""

    setting: Setting
    model: OFA
    tables: PositionTables

    def run(
        self, method: Method, images: Tensor, tokens: Tensor, search: SearchSection
    ) -> tuple[list[Generated], list[Trace]]:
        """Caption a batch, to the last token on the host."""
        encoded = encode(self.model, self.tables, method, images, tokens)
        results = generate(self.model, self.tables, method, encoded, search)
        return results, traces_of(encoded, results)


def search_of(setting: Setting, beam: int) -> SearchSection:
    length = 4 if setting.dry else 16
    return SearchSection(beam=beam, min_tokens=length, max_tokens=length)


def methods_of(side: Side, search: SearchSection) -> dict[str, Method]:
    """Return the methods; thresholds of `mue` lie just below the least similarity of a layer."""
    least: dict[tuple[str, int], float] = {}

    def note(stream: str, observation: Observation, rows: object) -> None:
        key = (stream, observation.layer)
        least[key] = min(least.get(key, 1.0), float(SIMILARITY(observation).min()))

    probes = {stream: partial(note, stream) for stream in STREAMS}
    images, tokens = side.setting.inputs(1)
    encoded = encode(side.model, side.tables, full(True), images, tokens, probes=probes)
    generate(side.model, side.tables, full(True), encoded, search, probes)
    depths = {
        f"mue near {depth}": build(
            MUE, {stream: least[stream, depth] - 1e-4 for stream in STREAMS}, True
        )
        for depth in (DEPTHS[:1] if side.setting.dry else DEPTHS)
    }
    return {
        "full": full(True),
        **depths,
        "static 3": build(STATIC, dict.fromkeys(STREAMS, 3), True),
    }


def turn_by_turn(
    setting: Setting, programs: Mapping[str, Callable[[], object]]
) -> dict[str, float]:
    """Return the median seconds of each program, after a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for repeat in range(setting.repeats + WARM_UPS):
        if repeat > WARM_UPS and setting.seconds_left < 0:
            break
        for name, program in programs.items():
            setting.wait()
            start = time.perf_counter()
            program()
            setting.wait()
            if repeat >= WARM_UPS:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


@contextmanager
def counted_waits(setting: Setting) -> Iterator[list[int]]:
    """Count how often the host waits for the device, as PyTorch tells it."""
    count = [0]
    if setting.device.type != "cuda":
        yield count
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield count
        finally:
            torch.cuda.set_sync_debug_mode("default")
    count[0] = sum("synchroniz" in str(each.message) for each in caught)


def cell(
    side: Side, methods: Mapping[str, Method], rows: int, search: SearchSection
) -> dict[str, Results]:
    """Measure every method on one batch size."""
    setting = side.setting
    images, tokens = setting.inputs(rows)
    programs = {
        name: partial(side.run, method, images, tokens, search) for name, method in methods.items()
    }
    for program in programs.values():
        program()
    seconds = turn_by_turn(setting, programs)
    found: dict[str, Results] = {}
    for name, method in methods.items():
        if setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if setting.device.type == "cuda" else 0
        with counted_waits(setting) as waits:
            results, traces = programs[name]()
        peak = torch.cuda.max_memory_allocated() if setting.device.type == "cuda" else 0
        steps = max(len(trace.decoder_exits) for trace in traces)
        flops = flops_reduction(traces, side.model.config, setting.image_size, method)
        words = sum(len(result.best.tokens) for result in results)
        found[name] = {
            "ms": 1e3 * seconds[name],
            "tokens/s": words / seconds[name],
            "captions/s": rows / seconds[name],
            "measured": 1 - seconds[name] / seconds["full"],
            "FLOPs": flops.reduction,
            "decoder layers": statistics.fmean(
                layer for trace in traces for layer in trace.decoder_exits
            ),
            "image layers": statistics.fmean(trace.encoder_exits["image"] for trace in traces),
            "waits per step": waits[0] / steps,
            "peak MiB above": (peak - before) / 2**20,
            "tokens": [result.best.tokens for result in results][:4],
        }
    return found


def inference(setting: Setting) -> Results:
    """Measure precisions, programs, methods and batch sizes; what matters most comes first."""
    model, answer = setting.model(), {}
    sides: dict[str, tuple[Side, dict[str, Method]]] = {}
    for precision in ("float32", "bfloat16"):
        copied = at_precision(model, precision)
        launched = Side(setting, copied, PositionTables(copied))
        recorded = Side(setting, copied, PositionTables(copied, setting.recorder()))
        methods = methods_of(launched, search_of(setting, 5))
        sides[f"{precision}, launched"] = launched, methods
        sides[f"{precision}, recorded"] = recorded, methods
    for rows, beam in SIZES[:2] if setting.dry else SIZES:
        rows = min(rows, 2) if setting.dry else rows
        for name, (side, methods) in sides.items():
            found = _safely(setting, partial(cell, side, methods, rows, search_of(setting, beam)))
            answer[f"{name}, batch {rows}, beam {beam}"] = found
            _save(setting, "inference", answer)
        if "checks" not in answer:
            answer["checks"] = _safely(setting, partial(checks, setting, model))
            answer["breakdown"] = _safely(setting, partial(breakdown, setting, model))
    return answer


def checks(setting: Setting, model: OFA) -> Results:
    """Compare tokens and exits: recorded with launched, and a batch with one by one, in float32."""
    copied = at_precision(model, "float32")
    search = search_of(setting, 5)
    plain = Side(setting, copied, PositionTables(copied))
    recorded = Side(setting, copied, PositionTables(copied, setting.recorder()))
    method = methods_of(plain, search)["mue near 2"]
    images, tokens = setting.inputs(num_rows := 2 if setting.dry else 8)
    together, traces = plain.run(method, images, tokens, search)
    again, replayed = recorded.run(method, images, tokens, search)
    alone = [plain.run(method, images[i : i + 1], tokens[:1], search) for i in range(num_rows)]
    return {
        "recorded tokens equal": _words(together) == _words(again),
        "recorded exits equal": _exits(traces) == _exits(replayed),
        "batch tokens equal one by one": _words(together)
        == [_words(results)[0] for results, _ in alone],
        "batch exits equal one by one": _exits(traces) == [_exits(each)[0] for _, each in alone],
    }


def breakdown(setting: Setting, model: OFA) -> Results:
    """Return milliseconds by part, launched one by one, and the encoder against the roof."""
    answer: Results = {}
    for precision in ("float32", "bfloat16"):
        copied = at_precision(model, precision)
        side = Side(setting, copied, PositionTables(copied))
        for rows in (1, 8):
            images, tokens = setting.inputs(rows)

            def run(
                method: Method, probes: object, side=side, images=images, tokens=tokens
            ) -> Trace:
                return side.run(method, images, tokens, search_of(setting, 5))[1][0]

            for _ in range(2):
                watched = watch(copied, full(True), run, Stopwatch(setting.wait))
            parts = {part: 1e3 * seconds for part, seconds in watched.seconds.items()}
            answer[f"{precision}, batch {rows}"] = parts
        if not setting.dry:
            answer[f"{precision} ceilings"] = vars(
                measure_ceilings(precision, setting.device, setting.wait)
            )
    return answer


def training(setting: Setting) -> Results:
    """Run the training part where its file is present."""
    try:
        from gpu_training import training_part
    except ImportError as error:
        return {"skipped": str(error)}
    return training_part(setting.device, setting.dry, setting.seconds_left)


def bench(setting: Setting) -> Results:
    """Do what `mue bench --random base` does, in both precisions."""
    from mue_cli import Experiment
    from mue_cli.experiment import benchmark

    benchmark.SECONDS = 1.0 if setting.dry else 15.0
    answer: Results = {}
    for precision in ("float32",) if setting.dry else ("float32", "bfloat16"):
        experiment = Experiment.open(
            run=setting.out / f"bench-{precision}",
            device=setting.device.type,
            overrides=[
                f"inference.precision={precision}",
                f"data.image_size={setting.image_size}",
                *(f"exits.{stream}=3" for stream in STREAMS),
            ],
        )
        found = benchmark.benchmark(
            experiment, "static", "tiny" if setting.dry else "base", repeats=1
        )
        answer[precision] = dict(found.document)
        _save(setting, "bench", answer)
    return answer


PARTS: Mapping[str, Callable[[Setting], Results]] = {
    "inference": inference,
    "training": training,
    "bench": bench,
}


def _safely(setting: Setting, program: Callable[[], Results]) -> Results:
    """Return what a program found, or how it failed: the device's time is short."""
    if setting.seconds_left < 0:
        return {"skipped": "no time was left"}
    try:
        return program()
    except Exception as error:
        if setting.dry:
            raise
        return {
            "failed": f"{type(error).__name__}: {error}",
            "where": traceback.format_exc()[-1500:],
        }


def _save(setting: Setting, part: str, found: object) -> None:
    setting.out.mkdir(parents=True, exist_ok=True)
    (setting.out / f"gpu-{part}.json").write_text(json.dumps(found, indent=1, default=str) + "\n")


def _words(results: Sequence[Generated]) -> list[tuple[int, ...]]:
    return [result.best.tokens for result in results]


def _exits(traces: Sequence[Trace]) -> list[object]:
    return [(dict(trace.encoder_exits), trace.decoder_exits) for trace in traces]


def table(found: Mapping[str, Results]) -> str:
    """Return the inference part as a few lines per cell."""
    lines = []
    for name, methods in found.items():
        if not isinstance(methods.get("full"), dict):
            lines.append(f"{name}: {json.dumps(methods, default=str)[:700]}")
            continue
        lines.append(name)
        for method, each in methods.items():
            enough = each["measured"] >= each["FLOPs"] - POINTS  # type: ignore[index]
            lines.append(
                f"  {method:<11} {each['ms']:8.1f} ms {each['tokens/s']:8.0f} tokens/s  "  # type: ignore[index]
                f"time -{100 * each['measured']:5.1f} %  FLOPs -{100 * each['FLOPs']:5.1f} %"  # type: ignore[index]
                f"{'' if enough else ' *'}  waits {each['waits per step']:4.1f}  "  # type: ignore[index]
                f"{each['peak MiB above']:6.0f} MiB  layers {each['image layers']:.1f}/{each['decoder layers']:.1f}"  # type: ignore[index]
            )
    return "\n".join([*lines, "* less than FLOPs - 10 points"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["inference", "training"])
    parser.add_argument("--seconds", type=float, default=230.0)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    if not options.dry_run and not torch.cuda.is_available():
        print("skipped: no GPU here (--dry-run tries it on the processor)")
        return 0
    device = torch.device("cpu" if options.dry_run else "cuda")
    setting = Setting(device, options.dry_run, time.monotonic() + options.seconds, options.out)
    machine = "processor" if options.dry_run else torch.cuda.get_device_name()
    print(f"{machine}, torch {torch.__version__}", flush=True)
    for part in options.parts:
        start = time.monotonic()
        no_gradients = torch.inference_mode(part == "inference")
        with no_gradients:
            found = _safely(setting, partial(PARTS[part], setting))
        _save(setting, part, found)
        print(f"== {part}, {time.monotonic() - start:.0f} s", flush=True)
        print(table(found) if part == "inference" else json.dumps(found, indent=1, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
