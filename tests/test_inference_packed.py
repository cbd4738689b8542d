"""The packed copy of a model: what it computes is the model's own, up to rounding, and the model
stays as it was.
"""

import pytest
import torch
from small_ofa import pad, small_inputs, small_model

from mue_cli.exits.methods import full
from mue_cli.inference.cpu import backend
from mue_cli.inference.cpu.backend import columns_are_faster, operators_work, packed
from mue_cli.inference.cpu.choice import CACHE_VARIABLE
from mue_cli.inference.cpu.linear import PackedLinear
from mue_cli.inference.cpu.resnet import FoldedResNet
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.decoder import TiedHead
from mue_cli.recipe.recipe import SearchSection


@pytest.fixture(autouse=True)
def pack_everything(monkeypatch):
    if not operators_work():
        pytest.skip("this PyTorch has no packing operators")
    monkeypatch.setattr(backend, "SMALLEST", 1)


def restless(seed: int):
    """Return a small model whose batch norms have statistics of their own, as after training."""
    model = small_model(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return model


@torch.inference_mode()
@pytest.mark.parametrize("size", [32, 40, 64])
def test_the_folded_trunk_equals_the_trunk(size):
    model = restless(size)
    images = torch.randn(3, 3, size, size)
    folded = FoldedResNet(model.encoder.embed_images)(images)
    plain = model.encoder.embed_images(images)
    assert folded.shape == plain.shape
    assert torch.allclose(folded, plain, atol=1e-4 * float(plain.abs().max()))


@torch.inference_mode()
@pytest.mark.parametrize("by_columns", [False, True])
def test_a_packed_matrix_multiplies_any_number_of_rows(by_columns):
    linear = torch.nn.Linear(24, 40)
    fast = PackedLinear(linear.weight, linear.bias)
    if by_columns:
        fast.keep_columns(linear.weight)
    for shape in ((24,), (1, 24), (5, 24), (2, 7, 24), (1, 900, 24)):
        x = torch.randn(shape)
        assert torch.allclose(fast(x), linear(x), atol=1e-5)


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("seed", range(6))
@torch.inference_mode()
def test_tokens_and_scores_are_the_models_own(seed, by_columns, monkeypatch):
    monkeypatch.setattr(backend, "columns_are_faster", lambda: by_columns)
    model = restless(seed)
    fast = packed(model)
    assert fast is not model
    assert isinstance(fast.decoder.layers[0].fc1, PackedLinear) and isinstance(
        model.decoder.layers[0].fc1, torch.nn.Linear
    )
    assert isinstance(fast.decoder.output_projection, PackedLinear)
    images, texts = small_inputs(seed, rows=1 if seed == 5 else 4)
    search = SearchSection(beam=1 if seed >= 4 else 3, max_tokens=8)
    results = []
    for subject in (model, fast):
        tables = PositionTables(subject)
        encoded = encode(subject, tables, full(True), images, pad(texts))
        results.append((encoded.hidden, generate(subject, tables, full(True), encoded, search)))
    (hidden, plain), (fast_hidden, quick) = results
    assert torch.allclose(hidden, fast_hidden, atol=1e-4)
    for a, b in zip(plain, quick, strict=True):
        assert [h.tokens for h in a.hypotheses] == [h.tokens for h in b.hypotheses]
        assert [h.score for h in a.hypotheses] == pytest.approx(
            [h.score for h in b.hypotheses], abs=1e-4
        )


@torch.inference_mode()
def test_single_words_go_by_columns_and_the_embedding_is_the_heads(monkeypatch):
    monkeypatch.setattr(backend, "columns_are_faster", lambda: True)
    model = small_model(0)
    fast = packed(model)
    layer = fast.decoder.layers[0]
    assert all(layer.get_submodule(name).columns is not None for name in backend.OF_SINGLE_WORDS)
    assert layer.cross_attn.k_proj.columns is None and fast.encoder.layers[0].fc1.columns is None
    embedding = fast.encoder.embed_tokens
    assert embedding is fast.decoder.embed_tokens and embedding is not model.encoder.embed_tokens
    assert embedding.weight.data_ptr() == fast.decoder.output_projection.columns.data_ptr()
    tokens = torch.arange(10).view(2, 5)
    assert torch.equal(fast.decoder.embed(tokens), model.decoder.embed(tokens))


def test_no_other_precision_keeps_columns(monkeypatch):
    monkeypatch.setattr(backend, "columns_are_faster", lambda: pytest.fail("asked"))
    matrix = packed(small_model(0), torch.bfloat16).decoder.layers[0].fc1
    if operators_work(torch.bfloat16):
        assert matrix.columns is None
    else:  # a processor without bfloat16 products: nothing is packed
        assert isinstance(matrix, torch.nn.Linear) and matrix.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("by_columns", [False, True])
def test_the_clock_decides_whether_columns_are_kept_once(by_columns, monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(backend, "TRIAL", (16, 8))
    monkeypatch.setattr(
        backend,
        "_seconds",
        lambda linear, _: 1.0 if (linear.columns is not None) == by_columns else 2.0,
    )
    columns_are_faster.cache_clear()
    try:
        assert columns_are_faster() == by_columns
        columns_are_faster.cache_clear()
        monkeypatch.setattr(backend, "_seconds", lambda *_: pytest.fail("measured twice"))
        assert columns_are_faster() == by_columns
    finally:
        columns_are_faster.cache_clear()


def test_packing_leaves_the_model_alone_and_takes_no_part_in_its_training():
    model = small_model(0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fast = packed(model)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        model.decoder.layers[0].fc1.weight.zero_()
    x = torch.ones(1, 32)
    assert fast.decoder.layers[0].fc1(x).abs().sum() > 0
    assert isinstance(model.decoder.output_projection, TiedHead)


def test_small_matrices_other_precisions_and_other_pytorches_are_left_as_they_are(monkeypatch):
    model = small_model(0)
    assert packed(model.double()) is model
    model = small_model(0)
    monkeypatch.setattr(backend, "SMALLEST", 10**9)
    fast = packed(model)
    assert isinstance(fast.decoder.layers[0].fc1, torch.nn.Linear)
    assert isinstance(fast.decoder.output_projection, TiedHead)
    monkeypatch.setattr(backend, "operators_work", lambda dtype: False)
    assert packed(model) is model


def test_operators_that_are_missing_or_wrong_are_not_used(monkeypatch):
    def missing(*_):
        raise AttributeError("no such operator")

    for broken in (missing, lambda *_, **__: torch.zeros(3, 16)):
        operators_work.cache_clear()
        monkeypatch.setattr(PackedLinear, "forward", broken)
        assert not operators_work()
    monkeypatch.undo()
    operators_work.cache_clear()
    assert operators_work()
