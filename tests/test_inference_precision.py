"""Precision by name: float32 is exact, the others are close, and none touches the model."""

from typing import get_args, get_type_hints

import pytest
import torch
from small_ofa import pad, small_inputs, small_model

from mue_cli.exits.methods import full
from mue_cli.inference.cpu import backend
from mue_cli.inference.cpu.linear import PackedLinear
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import DTYPES, at_precision
from mue_cli.inference.search import generate
from mue_cli.recipe.recipe import InferenceSection, SearchSection

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.15}


@pytest.fixture(autouse=True)
def pack_everything(monkeypatch):
    monkeypatch.setattr(backend, "SMALLEST", 1)


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
    monkeypatch.setattr(backend, "operators_work", lambda dtype: False)
    model = small_model(3)
    exact, _ = run(model)
    hidden, _ = run(at_precision(model, "bfloat16"))
    assert (hidden - exact).abs().mean() / exact.abs().mean() < TOLERANCE["bfloat16"]
    assert next(model.parameters()).dtype == torch.float32


def test_bfloat16_where_the_processor_has_no_such_products_is_a_plain_copy(monkeypatch):
    def refused(weight, batch_size):
        if weight.dtype == torch.bfloat16:
            raise RuntimeError("bf16 path needs the cpu support avx512bw")
        return reorder(weight, batch_size)

    reorder = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refused)
    backend.operators_work.cache_clear()
    try:
        fast = at_precision(small_model(3), "bfloat16")
        assert isinstance(fast.decoder.layers[0].fc1, torch.nn.Linear)
        assert {p.dtype for p in fast.parameters()} == {torch.bfloat16}
        assert isinstance(
            at_precision(small_model(3), "float32").decoder.layers[0].fc1, PackedLinear
        )
    finally:
        backend.operators_work.cache_clear()


def test_every_precision_of_a_recipe_is_known():
    assert (
        set(get_args(get_type_hints(InferenceSection)["precision"]))
        >= set(DTYPES)
        == set(TOLERANCE)
    )
