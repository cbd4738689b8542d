"""The stopwatch, the parts of a run, the ceilings, and what is said of them."""

import pytest
import torch
from method_rows import mue, static
from small_ofa import pad, small_inputs, small_model

from mue_cli.cost.flops import trace_flops
from mue_cli.cost.traffic import ValueSizes, resnet_weights, trace_traffic
from mue_cli.exits.methods import Method, SkippedPolicy, full
from mue_cli.exits.trace import Trace
from mue_cli.inference.cpu.backend import packed
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.config import preset
from mue_cli.model.resnet import ResNet
from mue_cli.profiling import ceilings
from mue_cli.profiling.ceilings import Ceilings, measure_ceilings
from mue_cli.profiling.parts import Part, Profile, Watched, profile, watch, watch_in_turn
from mue_cli.profiling.stopwatch import Stopwatch
from mue_cli.profiling.verdict import Measured, flops_reduction, parts_reduction, verdict
from mue_cli.recipe.recipe import SearchSection

IMAGE_SIZE = 32
SEARCH = SearchSection(beam=3, max_tokens=6, min_tokens=6)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Predictor:
    """A small model that captions one random picture."""

    def __init__(self, seed: int = 0) -> None:
        self.model = packed(small_model(seed))
        images, texts = small_inputs(seed, 1, IMAGE_SIZE)
        self._images, self._tokens, self._tables = images, pad(texts), PositionTables(self.model)

    @torch.inference_mode()
    def run(self, method, probes) -> Trace:
        encoded = encode(
            self.model, self._tables, method, self._images, self._tokens, probes=probes
        )
        found = generate(self.model, self._tables, method, encoded, SEARCH, probes)[0]
        exits = {stream: layers[0] for stream, layers in encoded.exit_layers.items()}
        tokens = {stream: counts[0] for stream, counts in encoded.num_tokens.items()}
        return Trace(
            "a",
            exits,
            tokens,
            tuple(found.exit_layers),
            len(found.best.tokens),
            tuple(found.num_hypotheses),
        )


METHODS = {
    "full": full(True),
    "joint": full(False),
    "static": static({"image": 1, "text": 2, "decoder": 3}, True),
    "mue": mue({"image": 0.5, "text": 0.5, "decoder": 0.5}, True, None),
}


def watched_run(name: str) -> tuple[Predictor, Watched]:
    subject = Predictor()
    return subject, watch(subject.model, METHODS[name], subject.run, Stopwatch())


def make_profile(*parts: tuple[str, float, float, float], steps: float = 10.0) -> Profile:
    return Profile(
        tuple(Part(name, calls, ms, flops, 0.0) for name, calls, ms, flops in parts), steps
    )


def test_time_inside_a_part_counts_there_and_not_outside() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock=clock)
    inner = stopwatch.timed("inner", lambda: clock.pass_by(3.0))

    def outside() -> None:
        clock.pass_by(1.0)
        inner()
        inner()

    stopwatch.timed("outer", outside)()
    assert dict(stopwatch.seconds) == {"inner": 6.0, "outer": 1.0}
    assert dict(stopwatch.calls) == {"inner": 2, "outer": 1}


def test_a_part_that_fails_is_counted_and_closed() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock=clock)

    def fail() -> None:
        clock.pass_by(2.0)
        raise ValueError

    with pytest.raises(ValueError):
        stopwatch.timed("a", fail)()
    stopwatch.timed("b", lambda: clock.pass_by(1.0))()
    assert dict(stopwatch.seconds) == {"a": 2.0, "b": 1.0}


def test_the_device_is_waited_for_at_both_ends_of_a_part() -> None:
    log: list[str] = []
    stopwatch = Stopwatch(synchronize=lambda: log.append("wait"), clock=lambda: float(len(log)))
    stopwatch.timed("a", lambda: log.append("run"))()
    assert log == ["wait", "run", "wait"]


@pytest.mark.parametrize("name", METHODS)
def test_parts_are_not_negative_and_with_the_rest_are_the_whole(name: str) -> None:
    clock = Clock()
    subject = Predictor()
    ticking = Stopwatch(clock=lambda: clock.pass_by(1.0) or clock.now)
    before = clock.now
    seen = watch(subject.model, METHODS[name], subject.run, ticking)
    assert seen.total == clock.now - before - 1.0  # the first reading starts the whole
    found = profile([seen], METHODS[name], subject.model.config, IMAGE_SIZE, ValueSizes())
    assert all(part.ms >= 0 and part.calls > 0 for part in found.parts)
    assert found.total_ms == pytest.approx(1000.0 * seen.total)
    assert found.parts[-1].name == "rest"


@pytest.mark.parametrize("name", METHODS)
def test_calls_are_those_of_the_trace(name: str) -> None:
    trace = (seen := watched_run(name)[1]).trace
    wanted = {f"encoder, {stream}": layer for stream, layer in trace.encoder_exits.items()}
    wanted |= {"ResNet": 1, "embedding": 1, "rest": 1, "head": len(trace.decoder_exits)}
    wanted |= {"decoder": sum(trace.decoder_exits), "cross K/V": max(trace.decoder_exits)}
    assert {
        part: calls for part, calls in seen.calls.items() if part not in ("rule", "skipped K/V")
    } == wanted
    assert ("rule" in seen.calls) == bool(METHODS[name].rules)


@pytest.mark.parametrize("name", METHODS)
def test_watching_changes_nothing_and_leaves_nothing_behind(name: str) -> None:
    subject, seen = watched_run(name)
    attributes = [set(vars(module)) for module in subject.model.modules()]
    assert subject.run(METHODS[name], {}) == seen.trace == Predictor().run(METHODS[name], {})
    watch(subject.model, METHODS[name], subject.run, Stopwatch())
    assert [set(vars(module)) for module in subject.model.modules()] == attributes
    assert "logits" not in vars(subject.model.decoder)


@pytest.mark.parametrize("name", METHODS)
def test_operations_of_the_parts_are_those_of_the_cost_model(name: str) -> None:
    subject, seen = watched_run(name)
    found = profile([seen], METHODS[name], subject.model.config, IMAGE_SIZE, ValueSizes())
    counted = trace_flops(seen.trace, subject.model.config, IMAGE_SIZE, METHODS[name])
    assert found.flops == counted.total
    assert (found.part("ResNet").flops, found.part("head").flops) == (counted.resnet, counted.head)
    assert (
        sum(part.flops for part in found.parts if part.name.startswith("encoder, "))
        == counted.encoder
    )
    assert found.part("decoder").flops + found.part("skipped K/V").flops == counted.decoder
    assert (found.part("rule").flops > 0) == (name == "mue")


@pytest.mark.parametrize("policy", ["project", "recompute", "copy"])
def test_keys_and_values_of_skipped_layers_count_where_their_policy_computes_them(
    policy: SkippedPolicy,
) -> None:
    subject = Predictor()
    method = Method("static", True, {"decoder": _Alternating()}, policy)
    seen = watch(subject.model, method, subject.run, Stopwatch())
    assert len(set(seen.trace.decoder_exits)) > 1
    found = profile([seen], method, subject.model.config, IMAGE_SIZE, ValueSizes())
    counted = trace_flops(seen.trace, subject.model.config, IMAGE_SIZE, method)
    assert found.flops == counted.total
    assert (found.part("skipped K/V").flops > 0) == (policy == "project")
    if policy == "project":
        assert found.part("skipped K/V").calls > 0


class _Alternating:
    can_fire, score, full_depth_steps = True, None, 0

    def __call__(self, observation):
        leaves = observation.layer >= (1 if observation.step % 2 else 3)
        return torch.full((len(observation.after),), leaves, dtype=torch.bool)


def test_of_repeated_runs_the_fastest_of_each_method_and_sample_is_kept() -> None:
    subject = Predictor()
    order: list[tuple[str, str]] = []

    def run(sample, method, probes) -> Trace:
        order.append((sample, method.name))
        return subject.run(method, probes)

    done: list[tuple[int, int]] = []
    methods = (METHODS["full"], METHODS["static"])
    found = watch_in_turn(
        subject.model, methods, ["a", "b"], run, 2, progress=lambda *n: done.append(n)
    )
    assert order == [
        (sample, name) for sample in "ab" for _ in range(2) for name in ("full", "static")
    ]
    assert [[each.trace.encoder_exits["image"] for each in runs] for runs in found] == [
        [4, 4],
        [1, 1],
    ]
    assert done == [(1, 2), (2, 2)]


def test_means_over_samples_weigh_samples_alike() -> None:
    trace = Trace("a", {"joint": 4}, {"joint": 9}, (4, 4), 2, (1, 3))
    runs = [
        Watched(trace, {"head": 0.002, "rest": 0.001}, {"head": 2, "rest": 1}),
        Watched(trace, {"rest": 0.005}, {"rest": 1}),
    ]
    found = profile(runs, METHODS["full"], small_model(0).config, IMAGE_SIZE, ValueSizes())
    assert [(part.name, part.calls, part.ms) for part in found.parts] == [
        ("head", 1.0, 1.0),
        ("rest", 1.0, pytest.approx(3.0)),
    ]
    assert (found.num_steps, found.share("head"), found.share("decoder")) == (2.0, 0.25, 0.0)


def test_rates_are_operations_and_bytes_over_time() -> None:
    part = Part("head", 1.0, 2.0, flops=6e9, bytes_read=4e8)
    assert (part.gflops_per_s, part.gbytes_per_s) == (3000.0, 200.0)
    assert Part("rest", 1.0, 2.0, 0.0, 0.0).gflops_per_s is None


def test_traffic_by_hand() -> None:
    """Two steps at depth 2 and 1 of a model with D 4, F 8, V 10: a layer's matrices are 4*16 + 2*32
    and 6*16 + 2*32.
    """
    config = preset("nano", vocab_size=10, embed_dim=4, ffn_dim=8, num_heads=1)
    trace = Trace("a", {"image": 3, "text": 1}, {"image": 5, "text": 2}, (2, 1), 2, (1, 3))
    found = trace_traffic(trace, config, ValueSizes(weight=1, value=4))
    assert found.encoder == {"image": 3 * 128, "text": 128}
    assert found.cross_kv == 2 * 2 * 16
    assert found.decoder == 2 * (160 + 4 * 8 * (7 + 1)) + 1 * (160 + 4 * 8 * (7 + 3 * 2))
    assert found.image_proj == 4 * 16 * 16 * 4


@pytest.mark.parametrize(("blocks", "width"), [((1, 1, 1), 16), ((3, 4, 23), 64), ((2, 3, 4), 8)])
def test_resnet_weights_are_those_of_the_module(blocks: tuple[int, int, int], width: int) -> None:
    with torch.device("meta"):
        module = ResNet(blocks, width)
    assert resnet_weights(blocks, width) == sum(
        p.numel() for p in module.parameters() if p.ndim == 4
    )


def test_the_ceiling_is_the_slower_of_computing_and_reading() -> None:
    most = Ceilings(gflops_packed=200.0, gflops_mm=100.0, gbytes_read=20.0)
    assert most.least_ms(flops=2e9, bytes_read=1e8) == pytest.approx(10.0)
    assert most.least_ms(flops=2e9, bytes_read=4e8) == pytest.approx(20.0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ceilings_are_measured_through_the_models_own_path(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SECONDS", 0.0), ("BUFFER_BYTES", 2**20), ("ROWS", {"cpu": 8})):
        monkeypatch.setattr(ceilings, name, value)
    asked: list[str] = []
    at_precision = ceilings.at_precision
    monkeypatch.setattr(
        ceilings,
        "at_precision",
        lambda model, name: asked.append(name) or at_precision(model, name),
    )
    found = measure_ceilings(precision, torch.device("cpu"))
    assert asked == [precision]
    assert min(found.gflops_packed, found.gflops_mm, found.gbytes_read) > 0
    assert found.gflops == max(found.gflops_packed, found.gflops_mm)


def test_parts_promise_full_times_for_the_methods_calls() -> None:
    full_profile = make_profile(("ResNet", 1, 20, 40), ("decoder", 60, 60, 50), ("rest", 1, 20, 0))
    other = make_profile(
        ("ResNet", 1, 25, 40),
        ("decoder", 30, 50, 25),
        ("rule", 30, 3, 1),
        ("rest", 1, 40, 0),
        steps=5.0,
    )
    # 20 for the ResNet, 30 calls of 1 ms, 3 for the rule as measured, half of full's rest: 63 of
    # 100.
    assert parts_reduction(full_profile, other) == pytest.approx(0.37)
    assert flops_reduction(full_profile, other) == pytest.approx(1 - 66 / 90)


ENCODER_HEAVY = make_profile(
    ("ResNet", 1, 20, 1),
    ("encoder, image", 6, 50, 1),
    ("encoder, text", 6, 5, 1),
    ("decoder", 60, 25, 1),
)
RESNET_HEAVY = make_profile(
    ("ResNet", 1, 44, 1), ("embedding", 1, 4, 1), ("decoder", 60, 40, 1), ("rest", 1, 12, 1)
)


@pytest.mark.parametrize(
    ("measured", "flops", "profile_of_full", "sentence"),
    [
        (
            Measured(0.412, 0.40, 0.42),
            0.431,
            ENCODER_HEAVY,
            "exiting pays here: mue takes 41.2 % less time than full, about what its FLOPs promise (43.1 %); "
            "the largest part of full's time goes to the encoder's layers (55 %), which exits shorten.",
        ),
        (
            Measured(0.20, 0.19, 0.22),
            0.40,
            RESNET_HEAVY,
            "exiting pays here, less than its FLOPs promise: mue takes 20.0 % less time than full, for 40.0 % fewer FLOPs; "
            "the largest part of full's time goes to the ResNet (48 %), which no exit shortens.",
        ),
        (
            Measured(0.30, 0.28, 0.31),
            0.10,
            make_profile(("head", 17, 60, 1), ("decoder", 60, 40, 1)),
            "exiting pays here, more than its FLOPs promise: mue takes 30.0 % less time than full, for 10.0 % fewer FLOPs; "
            "the largest part of full's time goes to the output head (60 %), which no exit shortens.",
        ),
        (
            Measured(-0.031, -0.05, -0.01),
            0.02,
            make_profile(("cross K/V", 6, 30, 1), ("decoder", 60, 30, 1), ("rest", 1, 40, 0)),
            "exiting does not pay here: mue takes 3.1 % more time than full, for 2.0 % fewer FLOPs; "
            "the largest part of full's time goes to the decoder's layers (60 %), which exits shorten.",
        ),
        (
            Measured(0.01, -0.03, 0.04),
            -0.001,
            make_profile(("decoder", 60, 30, 1), ("rest", 1, 70, 0)),
            "whether exiting pays here, this run cannot tell: mue takes 1.0 % less time than full, "
            "and half of the turns lie between -3.0 and 4.0 %; "
            "the largest part of full's time goes to search and the rest (70 %), which no exit shortens.",
        ),
    ],
)
def test_the_sentence_says_what_the_numbers_say(
    measured: Measured, flops: float, profile_of_full: Profile, sentence: str
) -> None:
    assert verdict("mue", measured, flops, profile_of_full) == sentence
