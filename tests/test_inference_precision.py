"""Precision by name: float32 is exact, the others are close, and none touches the model."""

from typing import get_args, get_type_hints

import pytest
import torch
from small_ofa import pad, small_inputs, small_model

from mue_cli.errors import MueError
from mue_cli.exits.methods import full
from mue_cli.inference import cpu as packing
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import _PRECISIONS, at_precision
from mue_cli.inference.search import generate
from mue_cli.recipe.recipe import InferenceSection, SearchSection

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.15, "int8": 0.15}


@pytest.fixture(autouse=True)
def pack_everything(monkeypatch):
    monkeypatch.setattr(packing, "SMALLEST", 1)


@torch.inference_mode()
def run(model):
    images, texts = small_inputs(3, rows=2)
    tables = PositionTables(model)
    encoded = encode(model, tables, full(True), images, pad(texts))
    return encoded.hidden.float(), generate(
        model, tables, full(True), encoded, SearchSection(beam=2, max_tokens=5)
    )


@pytest.mark.parametrize("name", TOLERANCE)
def test_states_are_as_close_as_the_precision_allows(name):
    model = small_model(3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    exact, _ = run(model)
    hidden, generated = run(at_precision(model, name))
    difference = float((hidden - exact).abs().mean() / exact.abs().mean())
    assert difference < TOLERANCE[name]
    assert (difference > 1e-4) == (name != "float32"), (
        "the precision changes nothing: it is not in use"
    )
    assert all(
        torch.isfinite(torch.tensor([h.score for h in g.hypotheses])).all() for g in generated
    )
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_without_packing_bfloat16_is_a_plain_copy(monkeypatch):
    monkeypatch.setattr(packing, "operators_work", lambda: False)
    model = small_model(3)
    exact, _ = run(model)
    hidden, _ = run(at_precision(model, "bfloat16"))
    assert (hidden - exact).abs().mean() / exact.abs().mean() < TOLERANCE["bfloat16"]
    assert next(model.parameters()).dtype == torch.float32


def test_int8_weights_are_8_bit_in_the_layers_and_the_head():
    fast = at_precision(small_model(3), "int8")
    assert (
        fast.decoder.layers[0].fc1.weight().dtype
        == fast.encoder.layers[3].self_attn.q_proj.weight().dtype
        == torch.qint8
    )
    assert fast.decoder.project_out[0].weight().dtype == torch.qint8
    assert fast.encoder.pos_q_linear.weight.dtype == torch.float32


def test_int8_where_it_cannot_be_had_is_an_error(monkeypatch):
    with pytest.raises(MueError, match="int8 is for CPUs"):
        at_precision(small_model(0).to("meta"), "int8")
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    with pytest.raises(MueError, match="this PyTorch cannot quantise"):
        at_precision(small_model(0), "int8")


def test_every_precision_of_a_recipe_is_known():
    assert (
        set(get_args(get_type_hints(InferenceSection)["precision"]))
        == set(_PRECISIONS)
        == set(TOLERANCE)
    )
