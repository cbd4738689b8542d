"""Gates: what they compute, by hand; where they let rows leave; what they learn."""

import copy
import math
from itertools import islice
from pathlib import Path

import pytest
import torch
from small_ofa import golden_arrays, golden_model, small_config, small_model
from test_training import captions
from test_training_stages import ANSWERS, questions, run, section

from mue_cli import Experiment
from mue_cli.cost.flops import trace_flops
from mue_cli.exits.catalogue import GATE, MUE, STATIC
from mue_cli.exits.gate import ROW_FLOPS, Gates, StreamGate, features
from mue_cli.exits.heads import ModelHead
from mue_cli.exits.methods import Method, build
from mue_cli.exits.observation import Observation
from mue_cli.exits.trace import Trace
from mue_cli.experiment.exit_heads import HeadSizes, load, make, save
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.second_stage import train_heads
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection
from mue_cli.training.gates import GATES_RATE, Inputs, gate_stage, gates_score, outcomes

BEFORE, AFTER = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 10.0]]])


def with_weights(gate: StreamGate, weight: tuple[float, ...], bias: float) -> None:
    """Give all layers of a stream the same gate."""
    with torch.no_grad():
        gate.weight.copy_(torch.tensor(weight))
        gate.bias.fill_(bias)


def test_features_by_hand() -> None:
    """(3, 4) and (0, 10): cosine 40 / (5 * 10) = 0.8, norms 5 and 10; step 3 of 12."""
    found = features(Observation(1, BEFORE, AFTER, step=3, num_steps=12))
    assert found[0].tolist() == pytest.approx([-math.log(0.2), math.log(2.0), 0.25], rel=1e-5)
    assert features(Observation(1, BEFORE, AFTER))[0, 2] == 0.0


def test_padding_does_not_count() -> None:
    wide = [torch.cat([each, torch.full((1, 1, 2), 7.0)], 1) for each in (BEFORE, AFTER)]
    mask = torch.tensor([[False, True]])
    assert torch.equal(
        features(Observation(1, *wide, mask)), features(Observation(1, BEFORE, AFTER))
    )


def test_chance_by_hand() -> None:
    """0.5 * 1.609438 - 0.693147 + 2 * 0.25 + 0.1 = 0.711572: 1 / (1 + exp(-0.711572)) = 0.670748."""
    gates = Gates({"decoder": 3})
    with_weights(gates.gate("decoder"), (0.5, -1.0, 2.0), 0.1)
    layer = Observation(2, BEFORE, AFTER, step=3, num_steps=12)
    assert gates.chance("decoder", layer).item() == pytest.approx(0.670748, abs=1e-6)


def test_features_are_scaled_by_what_training_met() -> None:
    """0 and 4: mean 2, deviation 2. A 5 counts as 1.5, and starts with the weight 1."""
    gate = StreamGate(2)
    gate.observe(torch.tensor([[0.0, 0.0, 0.0]]), 1)
    gate.observe(torch.tensor([[4.0, 0.0, 0.0]]), 1)
    assert gate(torch.tensor([[5.0, 0.0, 0.0]]), 1).item() == pytest.approx(1.5)


def test_a_fresh_gate_ranks_rows_as_the_similarity_does() -> None:
    torch.manual_seed(0)
    before = torch.randn(20, 3, 4)
    layer = Observation(1, before, before + torch.randn(20, 3, 4))
    scores = [
        build(spec, {"image": 0.5}, True, head=Gates({"image": 4})).rule("image").score
        for spec in (GATE, MUE)
    ]
    ours, theirs = (score(layer) for score in scores if score is not None)
    assert torch.equal(ours.argsort(), theirs.argsort())


def test_nothing_leaves_after_the_last_layer_by_a_gate() -> None:
    assert Gates({"text": 2}).chance("text", Observation(2, BEFORE, AFTER)).tolist() == [1.0]


def test_states_are_read_out_by_the_models_own_head() -> None:
    head = ModelHead(lambda states: states, lambda states: 2.0 * states)
    assert torch.equal(Gates({"decoder": 2})(AFTER, [1], head), 2.0 * AFTER)


def test_gates_are_charged_their_cosine_and_their_rows() -> None:
    """An image of 4 tokens that leaves after layer 2, a text of 3 that never does (4 layers, asked
    3 times), and two words after layers 1 and 4 (asked 3 times), of 1 and 2 hypotheses.
    """
    config = small_config()
    trace = Trace("a", {"image": 2, "text": 4}, {"image": 4, "text": 3}, (1, 4), 2, (1, 2))
    thresholds = dict.fromkeys(("image", "text", "decoder"), 0.9)
    gates = Gates(dict.fromkeys(thresholds, 4))
    charged = trace_flops(trace, config, 32, build(GATE, thresholds, True, head=gates)).rule
    values = config.embed_dim * (2 * 4 + 3 * 3 + 1 * 1 + 3 * 2)
    assert charged == 6 * values + ROW_FLOPS * (2 + 3 + 1 + 3)


# The walk.


def gates_of(model: OFA, weights: dict[str, tuple[float, ...]]) -> Gates:
    """Gates of a model with given weights by stream, and the bias -1."""
    config = model.config
    layers = {"image": config.num_encoder_layers, "text": config.num_encoder_layers}
    gates = Gates({**layers, "decoder": config.num_decoder_layers})
    for stream, each in weights.items():
        with_weights(gates.gate(stream), each, -1.0)
    return gates


GOLDEN_WEIGHTS = {"image": (1.0, -2.0, 0.0), "text": (1.0, -2.0, 0.0), "decoder": (1.0, 2.0, 1.0)}
GOLDEN_EXITS = (
    {"image": [2, 2, 1], "text": [2, 2, 1]},
    [[2, 2, 1, 1, 1, 1], [2, 2, 1, 1, 1, 1], [2, 1, 1, 1, 1, 1]],
)


@torch.inference_mode()
def test_golden_walk_leaves_where_the_states_say() -> None:
    """The golden model's rows leave at the first layer whose chance, computed from all layers'
    states afterwards, is above the threshold; words as they always did.
    """
    model, golden = golden_model("g2_tiny_style"), golden_arrays("g2_tiny_style")
    gates = gates_of(model, GOLDEN_WEIGHTS)
    images, source = golden["in_patch_images"].float(), golden["in_src_tokens"]
    states = model.encode(images, source, True).states
    wanted = {}
    for stream in ("image", "text"):
        padding = source.eq(1) if stream == "text" else None
        wanted[stream] = torch.stack([
            gates.chance(stream, Observation(layer, *states[stream][layer - 1 : layer + 1], padding))
            for layer in range(1, len(states[stream]) - 1)
        ], 1)  # fmt: skip
    thresholds = {stream: float(each.median()) for stream, each in wanted.items()}
    method = build(GATE, {**thresholds, "decoder": 0.85}, True, head=gates)
    tables = PositionTables(model)
    encoded = encode(model, tables, method, images, source)
    for stream, chances in wanted.items():
        above = chances > thresholds[stream]
        last = model.config.num_encoder_layers
        first = torch.where(above.any(1), above.int().argmax(1) + 1, last)
        assert encoded.exit_layers[stream] == first.tolist()
    exits = [
        each.exit_layers
        for each in generate(model, tables, method, encoded, SearchSection(1, 5, 1, 0, 1.0))
    ]
    assert (encoded.exit_layers, exits) == GOLDEN_EXITS


@torch.inference_mode()
def test_disabled_gates_are_the_full_model() -> None:
    model, batch = small_model(0), next(captions(0))
    gates, tables = gates_of(model, {}), PositionTables(model)
    never = build(GATE, dict.fromkeys(("image", "text", "decoder"), 1.01), True, head=gates)
    full = Method("full", True)
    search = SearchSection(2, 5, 1, 0, 1.0)
    ours, theirs = (
        [
            each.best.tokens
            for each in generate(
                model, tables, method, encode(model, tables, method, *batch_of(batch)), search
            )
        ]
        for method in (never, full)
    )
    assert ours == theirs


def batch_of(batch):
    return batch.images, batch.source_tokens


# What they learn.


@torch.inference_mode()
def test_outcomes_are_what_static_exits_do() -> None:
    """Of a closed set, whether leaving a stream after a layer changes the answer is what a run with
    that exit says.
    """
    model, batch, tables = small_model(0), next(questions(0)), None
    tables = PositionTables(model)

    def choices(layers: dict[str, int]) -> list[int]:
        method = build(STATIC, {"image": 4, "text": 4, "decoder": 4} | layers, True)
        encoded = encode(model, tables, method, *batch_of(batch))
        answers = answer(model, tables, method, encoded, batch.decoder_tokens, ANSWERS)
        return [each.choice for each in answers]

    full, some = choices({}), set()
    found = list(outcomes(model, batch, Inputs(True, ANSWERS)))
    assert {(each.stream, each.layer) for each in found} == {
        (stream, layer) for stream in ("image", "text", "decoder") for layer in (1, 2, 3)
    }
    for each in found:
        early = choices({each.stream: each.layer})
        expected = [float(one == other) for one, other in zip(early, full, strict=True)]
        if each.stream != "decoder":  # a prompt's answer may stand before padding
            assert each.stays.tolist() == expected
        some |= set(each.stays.tolist())
    assert some == {0.0, 1.0}


def test_words_of_a_caption_count_by_their_share() -> None:
    model, batch = small_model(0), next(captions(0))
    found = list(outcomes(model, batch, Inputs(True, (), 17)))
    words = batch.target_tokens.ne(1).sum(1)
    image = next(each for each in found if each.stream == "image")
    assert ((image.stays * words).round() / words).tolist() == pytest.approx(image.stays.tolist())
    decoder = next(each for each in found if each.stream == "decoder")
    assert len(decoder.stays) == int(words.sum())
    assert decoder.features[0, 2].item() == pytest.approx(1 / 17)


@pytest.mark.parametrize(
    ("batches", "inputs"),
    [(captions, Inputs(True, (), 17)), (questions, Inputs(False, ANSWERS))],
    ids=["captions", "answers"],
)
def test_training_moves_gates_alone_and_they_foretell_better(batches, inputs: Inputs) -> None:
    model = small_model(0)
    before = copy.deepcopy(model.state_dict())
    streams = ("image", "text") if inputs.decompose else ("joint",)
    some, scores = list(islice(batches(0), 8)), []
    for steps in (1, 12):
        gates = Gates(dict.fromkeys((*streams, "decoder"), 4))
        settings = section(steps=steps, validate_every=steps, learning_rate=GATES_RATE)
        run(gate_stage(model, gates, settings, inputs), settings, batches)
        scores.append(gates_score(model, gates, some, inputs))
    assert scores[0] < scores[1]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# The method, as an experiment runs it.


def test_gates_are_read_back_and_say_whose_they_are(tmp_path: Path) -> None:
    sizes = HeadSizes("gates", 3, 8, encoder_layers={"image": 4, "text": 4})
    assert str(sizes) == "gates for 3 layers, 4 of image, 4 of text, 8 dimensions"
    written = make(sizes)
    save(written, sizes, tmp_path / "gate.safetensors")
    read = load(tmp_path / "gate.safetensors", sizes)
    assert isinstance(read, Gates)
    assert all(
        torch.equal(value, written.state_dict()[name]) for name, value in read.state_dict().items()
    )


@pytest.mark.usefixtures("without_java")
def test_gates_are_trained_calibrated_evaluated_and_asked(copied_run: Run) -> None:
    settings = ("training.steps=2", "training.validation_samples=2")
    training = Experiment.open(run=copied_run.folder, device="cpu", overrides=settings)
    trained = train_heads(training, GATE)
    assert trained.exit_head == copied_run.exit_head("gate")
    settings = (
        "evaluation.timed_samples=0",
        "calibration.samples=4",
        "evaluation.samples=2",
    )
    experiment = Experiment.open(run=copied_run.folder, device="cpu", overrides=settings)
    stored = experiment.calibrate(0.2, "gate").thresholds
    assert set(stored.thresholds) == {"image", "text", "decoder"}
    assert stored.achieved >= 0.2
    assert experiment.evaluate("gate").record.costs["expected"] > 0.0
