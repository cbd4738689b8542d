"""The parts of a run: how long each takes inside the real program, how often it is called, and how
much it computes and reads.

Parts are watched where they lie: for one run the model's layers, head and so on are wrapped with a
stopwatch, and unwrapped afterwards. What is in no part is the rest; it is measured too, so the
parts and the rest are the whole.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, TypeVar

from torch import Tensor

from mue_cli.cost.flops import decoder_layer_macs, encoder_layer_macs, method_reading, trace_flops
from mue_cli.cost.traffic import ValueSizes, trace_traffic
from mue_cli.exits.heads import ExitHead, ModelHead
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation, Rule, RuleAround
from mue_cli.exits.trace import Trace
from mue_cli.inference.walk import Probe
from mue_cli.model.config import OFAConfig
from mue_cli.model.ofa import OFA
from mue_cli.profiling.stopwatch import Stopwatch

RESNET, EMBEDDING, CROSS, SKIPPED, DECODER = (
    "ResNet",
    "embedding",
    "cross K/V",
    "skipped K/V",
    "decoder",
)
HEAD, RULE, REST = "head", "rule", "rest"
_LAYER = "encoder"
"""An encoder layer of a stream that is not known before the layer is done."""

Sample = TypeVar("Sample")
Run = Callable[[Method, Mapping[str, Probe]], Trace]
"""Runs one sample under a method and returns its trace."""
RunSample = Callable[[Sample, Method, Mapping[str, Probe]], Trace]


@dataclass(frozen=True)
class Part:
    """One part, per sample. flops, bytes_read: of cost.flops and cost.traffic; 0 for the rest,
    where nothing is counted.
    """

    name: str
    calls: float
    ms: float
    flops: float
    bytes_read: float

    @property
    def gflops_per_s(self) -> float | None:
        return self.flops / self.ms / 1e6 if self.flops and self.ms else None

    @property
    def gbytes_per_s(self) -> float | None:
        return self.bytes_read / self.ms / 1e6 if self.bytes_read and self.ms else None


@dataclass(frozen=True)
class Profile:
    """parts: in the order in which they run, the rest last. num_steps: decoding steps of a sample.
    All are means over samples.
    """

    parts: tuple[Part, ...]
    num_steps: float

    @property
    def total_ms(self) -> float:
        return sum(part.ms for part in self.parts)

    @property
    def flops(self) -> float:
        return sum(part.flops for part in self.parts)

    def part(self, name: str) -> Part:
        """Return a part; one that never ran has no time and no calls."""
        return next(
            (part for part in self.parts if part.name == name), Part(name, 0.0, 0.0, 0.0, 0.0)
        )

    def share(self, name: str) -> float:
        """Return the fraction of the whole that a part takes."""
        return self.part(name).ms / self.total_ms


@dataclass(frozen=True)
class Watched:
    """One run of one sample: its trace, and seconds and calls by part, the rest included."""

    trace: Trace
    seconds: Mapping[str, float]
    calls: Mapping[str, int]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def encoder_part(stream: str) -> str:
    """Return the name of a stream's encoder layers."""
    return f"encoder, {stream}"


def watch(model: OFA, method: Method, run: Run, stopwatch: Stopwatch) -> Watched:
    """Run one sample with every part of the model under a fresh stopwatch."""
    streams = ("image", "text") if method.decompose else ("joint",)
    probes: dict[str, Probe] = {
        stream: partial(_name_stream, stopwatch, stream) for stream in streams
    }
    rules: dict[str, Rule] = {
        stream: _TimedRule(rule, stopwatch.timed(RULE, rule))
        for stream, rule in method.rules.items()
    }
    head = _TimedHead(method.head, stopwatch.timed(HEAD, method.head))
    with _watched(model, stopwatch):
        trace = stopwatch.timed(REST, run)(replace(method, rules=rules, head=head), probes)
    return Watched(trace, dict(stopwatch.seconds), dict(stopwatch.calls))


def watch_in_turn(
    model: OFA,
    methods: Sequence[Method],
    samples: Sequence[Sample],
    run: RunSample[Sample],
    repeats: int,
    synchronize: Callable[[], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Watched]]:
    """Watch every method on every sample, turn by turn; return each method's fastest run of each
    sample.
    """
    fastest: list[list[Watched]] = [[] for _ in methods]
    for number, sample in enumerate(samples):
        runs = [
            [
                watch(model, method, partial(run, sample), Stopwatch(synchronize))
                for method in methods
            ]
            for _ in range(repeats)
        ]  # repeats x methods
        for kept, turns in zip(fastest, zip(*runs, strict=True), strict=True):
            kept.append(min(turns, key=lambda watched: watched.total))
        if progress is not None:
            progress(number + 1, len(samples))
    return fastest


def profile(
    watched: Sequence[Watched],
    method: Method,
    config: OFAConfig,
    image_size: int,
    sizes: ValueSizes,
    num_classes: int | None = None,
) -> Profile:
    """Return means over samples, one run of each under the method. num_classes: that are read out
    (None: the vocabulary).
    """
    work = [_work(each.trace, method, config, image_size, sizes, num_classes) for each in watched]
    timed = {name for each in watched for name in each.seconds}
    names = [
        RESNET,
        EMBEDDING,
        *map(encoder_part, watched[0].trace.encoder_exits),
        CROSS,
        SKIPPED,
        DECODER,
        HEAD,
        RULE,
        REST,
    ]
    names[-1:-1] = sorted(timed.difference(names))
    parts = [
        Part(
            name,
            calls=fmean(each.calls.get(name, 0) for each in watched),
            ms=1000.0 * fmean(each.seconds.get(name, 0.0) for each in watched),
            flops=fmean(each.get(name, (0.0, 0.0))[0] for each in work),
            bytes_read=fmean(each.get(name, (0.0, 0.0))[1] for each in work),
        )
        for name in names
        if name in timed
    ]
    return Profile(tuple(parts), fmean(len(each.trace.decoder_exits) for each in watched))


def _work(
    trace: Trace,
    method: Method,
    config: OFAConfig,
    image_size: int,
    sizes: ValueSizes,
    num_classes: int | None,
) -> dict[str, tuple[float, float]]:
    """Return operations and bytes by part."""
    reading = method_reading(method, config, num_classes)
    flops = trace_flops(trace, config, image_size, method, num_classes)
    traffic = trace_traffic(trace, config, sizes)
    by_rule = reading.below_flops(trace)  # the stopwatch puts a rule's readings down to the head
    streams = {
        encoder_part(stream): (
            2.0 * exit_layer * encoder_layer_macs(config, trace.encoder_tokens[stream]),
            traffic.encoder[stream],
        )
        for stream, exit_layer in trace.encoder_exits.items()
    }
    source = sum(trace.encoder_tokens.values())
    layers = 2.0 * sum(
        hypotheses
        * exit_layer
        * decoder_layer_macs(config, trace.num_positions, step * trace.num_positions, source)
        for step, (exit_layer, hypotheses) in enumerate(
            zip(trace.decoder_exits, trace.num_hypotheses, strict=True), start=1
        )
    )
    skipped = (
        flops.decoder - layers if method.skipped_layers == "project" else 0.0
    )  # elsewhere done inside the layers, or not at all
    return {
        RESNET: (flops.resnet, traffic.resnet),
        EMBEDDING: (flops.image_proj, traffic.image_proj),
        **streams,
        CROSS: (flops.cross_kv, traffic.cross_kv),
        SKIPPED: (skipped, 0.0),
        DECODER: (flops.decoder - skipped, traffic.decoder),
        HEAD: (
            flops.head + by_rule,
            sizes.weight * reading.weights_read(trace),
        ),
        RULE: (flops.rule - by_rule, 0.0),
    }


def _name_stream(stopwatch: Stopwatch, stream: str, observation: Observation, rows: object) -> None:
    """Put the layer that just ran down to its stream."""
    stopwatch.rename(_LAYER, encoder_part(stream))


@dataclass(frozen=True)
class _TimedRule(RuleAround):
    timed: Callable[[Observation], Tensor]

    def __call__(self, observation: Observation) -> Tensor:
        return self.timed(observation)


@dataclass(frozen=True)
class _TimedHead:
    head: ExitHead
    timed: Callable[[Tensor, Sequence[int], ModelHead], Tensor]

    def __call__(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        return self.timed(states, exit_layers, head)

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        return self.head.macs(layer, embed_dim, num_classes)


@contextmanager
def _watched(model: OFA, stopwatch: Stopwatch) -> Iterator[None]:
    encoder, decoder = model.encoder, model.decoder
    places: list[tuple[Any, str, str]] = [
        (encoder, "embed", EMBEDDING),
        (encoder.embed_images, "forward", RESNET),
        *((layer, "forward", _LAYER) for layer in encoder.layers),
        *((layer, "cross_keys_values", CROSS) for layer in decoder.layers),
        *((layer, "self_keys_values", SKIPPED) for layer in decoder.layers),
        *((layer, "forward", DECODER) for layer in decoder.layers),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(_replaced(owner, name, stopwatch.timed(part, getattr(owner, name))))
        yield


@contextmanager
def _replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let an object have another method for a while."""
    own = vars(owner)
    before = {name: own[name]} if name in own else {}
    own[name] = function
    try:
        yield
    finally:
        del own[name]
        own.update(before)
