"""What the fast path saves, and whether exits pay on top of it: OFA-base, 480 px, float32, one
process, one thread.

    python tests/benchmarks/fast_inference.py [PART ...] [--weights FOLDER] [--image-size 480]
    [--json FILE]

Parts: reference, ceilings, rule, exits, precision, throughput, memory; all when none is named
(about ten minutes). Every comparison runs both sides turn by turn in this process and gives
medians. Weights are random unless a folder is named: times do not depend on them, and generation is
made to last 17 steps by forbidding an earlier end.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

import reference_way
from method_rows import mue, static
from traces import traces_of

from mue_cli.cost.flops import encoder_layer_macs, flops_reduction
from mue_cli.exits.decay import Decay
from mue_cli.exits.methods import Method, full
from mue_cli.exits.observation import Observation
from mue_cli.exits.trace import Trace
from mue_cli.inference.cpu.backend import packed
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import at_precision
from mue_cli.inference.search import Generated, generate
from mue_cli.model import checkpoint
from mue_cli.model.config import preset
from mue_cli.model.ofa import OFA
from mue_cli.model.pretrained import find_pretrained
from mue_cli.recipe.recipe import SearchSection

PROMPT = [0, 99, 473, 5, 2274, 6190, 116, 2]
LONG = SearchSection(beam=5, min_tokens=16)
GREEDY = SearchSection(beam=1, min_tokens=16)


@dataclass
class Bench:
    """plain: the model as it is. fast: its packed copy."""

    plain: OFA
    image_size: int
    fast: OFA = field(init=False)
    tables: PositionTables = field(init=False)

    def __post_init__(self) -> None:
        self.fast = packed(self.plain)
        self.tables = PositionTables(self.fast)

    @classmethod
    def of(cls, fast: OFA, image_size: int) -> "Bench":
        """Return a bench that runs a model as it is given."""
        bench = cls.__new__(cls)
        bench.plain, bench.image_size, bench.fast, bench.tables = (
            fast,
            image_size,
            fast,
            PositionTables(fast),
        )
        return bench

    def inputs(self, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(
            rows, 3, self.image_size, self.image_size, generator=generator
        ) * 2 - 1, torch.tensor([PROMPT] * rows)

    def run(
        self, method: Method, images: Tensor, tokens: Tensor, search: SearchSection = LONG
    ) -> tuple[list[Generated], list[Trace]]:
        """Caption a batch; return the hypotheses and the traces."""
        encoded = encode(self.fast, self.tables, method, images, tokens)
        results = generate(self.fast, self.tables, method, encoded, search)
        return results, traces_of(encoded, results)


def turns(sides: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median seconds of each side, run turn by turn after one warm-up each."""
    for side in sides:
        side()
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, found in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def reference(bench: Bench) -> dict[str, object]:
    """Time `full` with beam 5 against the reference's way, and both in parts."""
    images, tokens = bench.inputs(1)
    method = full(decompose=False)
    encoded = encode(bench.fast, bench.tables, method, images, tokens)
    slow_encoded = reference_way.encode(bench.plain, images, tokens)
    fast, slow = (
        bench.run(method, images, tokens)[0],
        reference_way.generate(bench.plain, slow_encoded, LONG),
    )
    names = ("ResNet", "encoder", "decoding")
    times = turns(
        [
            lambda: bench.fast.encoder.embed_images(images),
            lambda: encode(bench.fast, bench.tables, method, images, tokens),
            lambda: generate(bench.fast, bench.tables, method, encoded, LONG),
            lambda: bench.plain.encoder.embed_images(images),
            lambda: reference_way.encode(bench.plain, images, tokens),
            lambda: reference_way.generate(bench.plain, slow_encoded, LONG),
        ],
        repeats=5,
    )
    parts = {"fast": times[:3], "reference": times[3:]}
    answer: dict[str, object] = {
        "tokens equal": [h.tokens for h in fast[0].hypotheses]
        == [h.tokens for h in slow[0].hypotheses],
        "steps": len(fast[0].exit_layers),
    }
    for side, (resnet, whole, decoding) in parts.items():
        answer[f"{side} seconds"] = dict(
            zip(names, (resnet, whole - resnet, decoding), strict=True)
        ) | {"total": whole + decoding}
    answer["times faster"] = sum(times[4:]) / sum(times[1:3])
    return answer


def ceilings(bench: Bench) -> dict[str, object]:
    """Compare the encoder with the machine's matrix products, and a decoding step with the time to
    read its weights once.
    """
    config = bench.plain.config
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    buffer = torch.randn(2**27)
    images, tokens = bench.inputs(1)
    stream = bench.fast.encoder.embed(images, tokens)[0]
    bias = bench.tables.encoder_bias(0, stream.layout)[None]
    layer = bench.fast.encoder.layers[0]
    square = torch.nn.Linear(2048, 2048, bias=False)
    square_fast = type(bench.fast.encoder.layers[0].fc1)
    packed_square = (
        square_fast(square.weight, None) if square_fast is not torch.nn.Linear else square
    )
    method = full(decompose=True)
    encoded = encode(bench.fast, bench.tables, method, images, tokens)
    short, long = SearchSection(beam=1, min_tokens=4, max_tokens=4), GREEDY
    product, packed_product, read, one_layer, few, many = turns(
        [
            lambda: a @ b,
            lambda: packed_square(a),
            lambda: buffer.sum(),
            lambda: layer(stream.hidden, bias),
            lambda: generate(bench.fast, bench.tables, method, encoded, short),
            lambda: generate(bench.fast, bench.tables, method, encoded, long),
        ],
        repeats=9,
    )
    dim, ffn, layers = config.embed_dim, config.ffn_dim, config.num_decoder_layers
    weights = 4 * (layers * (6 * dim**2 + 2 * dim * ffn) + config.vocab_size * dim)
    bandwidth = buffer.nbytes / read
    step = (many - few) / (long.max_tokens - short.max_tokens)
    rate = 2 * encoder_layer_macs(config, stream.hidden.shape[1]) / one_layer
    best = 2 * 2048**3 / min(product, packed_product)
    return {
        "matrix product GFLOP/s": {
            "torch.mm": 2 * 2048**3 / product / 1e9,
            "packed": 2 * 2048**3 / packed_product / 1e9,
        },
        "encoder layer GFLOP/s": rate / 1e9,
        "encoder share of the best product": rate / best,
        "read bandwidth GB/s": bandwidth / 1e9,
        "weights of a step MB": weights / 1e6,
        "decoding step ms": 1e3 * step,
        "reading its weights ms": 1e3 * weights / bandwidth,
        "step over reading": step / (weights / bandwidth),
    }


def rule(bench: Bench) -> dict[str, object]:
    """Time `mue` with thresholds that are asked at every layer and never fire, against `full`."""
    images, tokens = bench.inputs(1)
    never = mue(dict.fromkeys(("image", "text", "decoder"), 1.0), True, Decay(beta=1.0, tau=0.0))
    plain = full(decompose=True)
    assert all(
        layer == 6 for trace in bench.run(never, images, tokens)[1] for layer in trace.decoder_exits
    )
    with_rule, without = turns(
        [lambda: bench.run(never, images, tokens), lambda: bench.run(plain, images, tokens)],
        repeats=11,
    )
    return {
        "full seconds": without,
        "with idle rules seconds": with_rule,
        "cost of the rules": with_rule / without - 1,
    }


class DrawnRule:
    """Leaves each row of a walk after the layer that was drawn for it. layers: by row, or by step
    and row.
    """

    can_fire, score, full_depth_steps = True, None, 0

    def __init__(self, layers: Sequence[Sequence[int]]) -> None:
        self.layers, self.alive = layers, list(range(len(layers[0])))

    def __call__(self, observation: Observation) -> Tensor:
        drawn = self.layers[((observation.step or 1) - 1) % len(self.layers)]
        if observation.layer == 1:
            self.alive = list(range(len(drawn)))
        leaves = [drawn[row] <= observation.layer for row in self.alive]
        self.alive = [row for row, leave in zip(self.alive, leaves, strict=True) if not leave]
        return torch.tensor(leaves)


def drawn_method(image: Sequence[int], decoder: Sequence[Sequence[int]]) -> Method:
    return Method(
        "drawn",
        True,
        {"image": DrawnRule([image]), "text": DrawnRule([image]), "decoder": DrawnRule(decoder)},
    )


def exits(bench: Bench) -> dict[str, object]:
    """Force exits after three of six layers, at batch 1 and 8; then draw them per sample and step,
    batch 8 against one by one.
    """
    answer: dict[str, object] = {}
    half, plain = static({"image": 3, "text": 3, "decoder": 3}, True), full(decompose=True)
    for rows in (1, 8):
        images, tokens = bench.inputs(rows)
        traces = bench.run(half, images, tokens)[1]
        flops = flops_reduction(traces, bench.plain.config, bench.image_size).reduction
        sides = [partial(bench.run, method, images, tokens) for method in (half, plain)]
        fast, slow = turns(sides, repeats=5 if rows == 1 else 3)
        answer[f"3 of 6 layers, batch {rows}"] = {
            "FLOPs reduction": flops,
            "measured reduction": 1 - fast / slow,
            "full seconds": slow,
        }
    answer["drawn exits"] = _drawn(bench, plain)
    return answer


def _drawn(bench: Bench, plain: Method) -> dict[str, object]:
    draw = random.Random(0)
    images, tokens = bench.inputs(8)
    image = [draw.randint(1, 6) for _ in range(8)]
    decoder = [[draw.randint(1, 6) for _ in range(8)] for _ in range(17)]
    together = drawn_method(image, decoder)
    alone = [drawn_method([image[row]], [[step[row]] for step in decoder]) for row in range(8)]

    def one_by_one(methods: Sequence[Method]) -> list[list[Generated]]:
        return [
            bench.run(method, images[row : row + 1], tokens[row : row + 1])[0]
            for row, method in enumerate(methods)
        ]

    batch = bench.run(together, images, tokens)[0]
    single = [results[0] for results in one_by_one(alone)]
    times = turns(
        [
            lambda: bench.run(together, images, tokens),
            lambda: bench.run(plain, images, tokens),
            lambda: one_by_one(alone),
            lambda: one_by_one([plain] * 8),
        ],
        repeats=3,
    )
    gain_8, gain_1 = 1 - times[0] / times[1], 1 - times[2] / times[3]
    return {
        "gain at batch 8": gain_8,
        "gain one by one": gain_1,
        "kept": gain_8 / gain_1,
        "tokens equal": [g.best.tokens for g in batch] == [g.best.tokens for g in single],
        "exit layers equal": [g.exit_layers for g in batch] == [g.exit_layers for g in single],
    }


def precision(bench: Bench) -> dict[str, object]:
    """Time `full` at every precision, beam 5 and greedy."""
    images, tokens = bench.inputs(1)
    subjects = {
        name: Bench.of(at_precision(bench.plain, name), bench.image_size)
        for name in ("float32", "bfloat16")
    }
    sides = [
        partial(each.run, full(True), images, tokens, search)
        for each in subjects.values()
        for search in (LONG, GREEDY)
    ]
    seconds = turns(sides, repeats=5)
    return {
        name: {"beam 5 seconds": seconds[2 * i], "greedy seconds": seconds[2 * i + 1]}
        for i, name in enumerate(subjects)
    }


def throughput(bench: Bench) -> dict[str, object]:
    """Greedy captions per second by batch size."""
    answer = {}
    for rows in (1, 2, 4, 8, 16):
        images, tokens = bench.inputs(rows)
        (seconds,) = turns([partial(bench.run, full(True), images, tokens, GREEDY)], repeats=3)
        answer[f"batch {rows}"] = rows / seconds
    return {
        "captions per second": answer,
        "batch 16 over batch 1": answer["batch 16"] / answer["batch 1"],
    }


def memory(bench: Bench) -> dict[str, object]:
    """Peak memory above the model's own while captioning with beam 5, by batch size, each in a
    process of its own (Linux).
    """
    found = {}
    for rows in (1, 2, 4, 8, 16):
        words = [
            sys.executable,
            __file__,
            "--memory-of",
            str(rows),
            "--image-size",
            str(bench.image_size),
        ]
        found[f"batch {rows}"] = float(
            subprocess.run(words, capture_output=True, text=True, check=True).stdout
        )
    return {"peak MiB above the model": found}


def memory_of(bench: Bench, rows: int) -> float:
    images, tokens = bench.inputs(rows)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    bench.run(full(True), images, tokens)
    return _status("VmHWM") - before


def _status(name: str) -> float:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return int(line.split()[1]) / 1024


PARTS = (reference, ceilings, rule, exits, precision, throughput, memory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--weights")
    parser.add_argument("--image-size", type=int, default=480)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = (
        checkpoint.load(find_pretrained(arguments.weights).weights)
        if arguments.weights
        else OFA(preset("base")).eval()
    )
    bench = Bench(model, arguments.image_size)
    found = {}
    with torch.inference_mode():
        if arguments.memory_of:
            print(memory_of(bench, arguments.memory_of))
            return
        for part in PARTS:
            if not arguments.parts or part.__name__ in arguments.parts:
                found[part.__name__] = part(bench)
                print(json.dumps({part.__name__: found[part.__name__]}, indent=1), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
