"""The CUDA back end, as far as a machine without one can tell: programs of fixed shapes say what
the others say, and the folded trunk is the trunk.
"""

import pytest
import torch
from method_rows import mue
from small_ofa import small_inputs, small_model

from mue_cli.exits.decay import Decay
from mue_cli.exits.methods import full
from mue_cli.inference.cuda.recorder import CudaProgram, Recorder
from mue_cli.inference.cuda.trunk import with_folded_trunk
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.recipe.recipe import SearchSection


class Replayed:
    """Stands in for a CUDA graph: what is recorded works on buffers of its own, and answers in the
    same tensor every time.
    """

    recorded = 0

    def __init__(self, function, inputs):
        Replayed.recorded += 1
        self.function, self.inputs = function, [each.clone() for each in inputs]
        self.output = function(*self.inputs).clone()

    def __call__(self, *inputs):
        for buffer, value in zip(self.inputs, inputs, strict=True):
            buffer.copy_(value)
        return self.output.copy_(self.function(*self.inputs))


def outcome(model, tables, method, images, tokens, search):
    encoded = encode(model, tables, method, images, tokens)
    results = generate(model, tables, method, encoded, search)
    return encoded, [
        ([h.tokens for h in result.hypotheses], result.exit_layers) for result in results
    ]


METHODS = {
    "full": full(True),
    "joint": full(False),
    "mue": mue({"image": 0.9, "text": 0.9, "decoder": 0.75}, True, Decay(beta=0.9, tau=1.0)),
    "copy": mue({"decoder": 0.7}, True, None, "copy"),
    "recompute": mue({"decoder": 0.7}, True, None, "recompute"),
}


@torch.inference_mode()
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("beam", [1, 3])
def test_recorded_programs_say_what_the_others_say(name, beam):
    method, search = METHODS[name], SearchSection(beam=beam, min_tokens=2, max_tokens=7)
    model = small_model(1).double()
    plain, recorded = PositionTables(model), PositionTables(model, Recorder(Replayed))
    exits = set()
    for seed, rows in ((0, 1), (1, 3), (2, 3), (3, 1)):  # the second of a shape replays
        images, _ = small_inputs(seed, rows)
        images, tokens = images.double(), torch.tensor([[0, 5, 6 + seed, 2]] * rows)
        expected, words = outcome(model, plain, method, images, tokens, search)
        encoded, own_words = outcome(model, recorded, method, images, tokens, search)
        assert own_words == words
        assert encoded.exit_layers == expected.exit_layers
        assert torch.allclose(encoded.hidden, expected.hidden, atol=1e-9)
        exits.update(layer for _, layers in words for layer in layers)
    assert len(exits) > 1 or name in ("full", "joint"), "nobody left early: nothing was tried"


@torch.inference_mode()
def test_a_shape_is_recorded_once_and_padding_not_at_all():
    model, search = small_model(1), SearchSection(beam=1, max_tokens=4)
    tables = PositionTables(model, Recorder(Replayed))
    images, _ = small_inputs(0, 2)
    even, padded = torch.tensor([[0, 5, 6, 2]] * 2), torch.tensor([[0, 5, 6, 2], [0, 5, 2, 1]])
    outcome(model, tables, full(True), images, even, search)
    first = Replayed.recorded
    outcome(model, tables, full(True), images, even, search)
    assert Replayed.recorded == first
    expected = outcome(model, PositionTables(model), full(True), images, padded, search)
    assert outcome(model, tables, full(True), images, padded, search)[1] == expected[1]


@torch.inference_mode()
def test_states_that_a_probe_keeps_are_not_overwritten():
    model, kept = small_model(1), []
    tables = PositionTables(model, Recorder(Replayed))
    tokens = torch.tensor([[0, 5, 6, 2]])
    for seed in (0, 1):
        images, _ = small_inputs(seed, 1)
        probes = {"image": lambda observation, rows: kept.append(observation.after)}
        encode(model, tables, full(True), images, tokens, probes=probes)
    assert not torch.equal(kept[0], kept[4])


@torch.inference_mode()
def test_the_folded_trunk_is_the_trunk():
    model = small_model(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    images = torch.randn(2, 3, 40, 40)
    expected = model.encoder.embed_images(images)
    copied = with_folded_trunk(model)
    assert torch.allclose(copied.encoder.embed_images(images), expected, atol=1e-4)
    assert torch.equal(model.encoder.embed_images(images), expected), "the model stays as it was"
    assert copied.decoder.output_projection.weight is model.decoder.output_projection.weight
    features = torch.randn(2, 128, 3, 3)
    assert copied.encoder.embed_images(features) is features


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@torch.inference_mode()
def test_a_graph_computes_what_its_function_does():
    weight = torch.randn(4, 4, device="cuda")
    first, second = torch.randn(2, 3, 4, device="cuda")
    program = CudaProgram(lambda x: x @ weight, (first,), torch.cuda.graph_pool_handle())
    assert torch.allclose(program(second), second @ weight)
    assert torch.allclose(program(first), first @ weight)
