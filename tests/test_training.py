"""Layer-wise loss (Eq. 12-13), schedule, and a loop that learns, keeps the best and resumes."""

import math
from dataclasses import replace
from itertools import count, islice

import pytest
import torch
from small_ofa import pad, small_config, small_inputs
from twins import plain_cross_entropy, plain_layer_losses

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.model.ofa import OFA, kept, recomputed
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training import head_loss as head_loss_module
from mue_cli.training.head_loss import head_loss
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.losses import LossForm, layer_weights, positions, task_loss
from mue_cli.training.schedule import learning_rate_factor
from mue_cli.training.stages import shared_head


def test_cross_entropy_with_smoothing_worked_by_hand():
    """Probabilities 1/2, 1/4, 1/4; target 0; smoothing 0.2: 0.8 ln 2 + 0.1 ln 4 + 0.1 ln 4."""
    logits = torch.tensor([[[0.5, 0.25, 0.25]]]).log()
    total, losses = head_loss(logits, torch.eye(3), torch.tensor([0]), torch.ones(1, 1), 0.2)
    expected = 0.8 * math.log(2) + 0.2 * math.log(4)
    assert total.item() == pytest.approx(expected)
    assert losses.item() == pytest.approx(expected)


def test_every_layer_has_its_loss_and_equation_13_takes_their_mean():
    """Two layers, one position of two has a target, identity head: losses ln 2 and ln(1 + e)."""
    states = [torch.tensor([[[0.0, 0.0], [9.0, -9.0]]]), torch.tensor([[[0.0, 1.0], [9.0, -9.0]]])]
    read = positions(states, torch.tensor([[0, 1]]))  # 1 is padding: no target there
    first, second = math.log(2), math.log(1 + math.e)
    expected = {
        "mean": (first + second) / 2,
        "sum": first + second,
        "weighted": (first + 2 * second) / 3,
        "last": second,
    }
    for how, value in expected.items():
        weights = layer_weights(how, 2)
        loss = task_loss(read.states, [torch.eye(2)], read.targets, weights, LossForm())
        assert loss.total.item() == pytest.approx(value), how
    assert loss.layers[1].item() == pytest.approx(second)
    assert loss.layers[0].isnan(), "the first layer counts nothing, so it was not read"


def test_of_the_worst_positions_none_counts():
    """Four positions with losses ln 2 and, thrice, more; a half is dropped: the two smallest stay."""
    states = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [0.0, 3.0], [0.0, 9.0]]])
    targets, form = torch.zeros(4, dtype=torch.long), LossForm(drop_worst=0.5)
    loss = task_loss(states, [torch.eye(2)], targets, [1.0], form)
    expected = (math.log(2) + math.log(1 + math.e)) / 2
    assert loss.total.item() == pytest.approx(expected)


def test_the_rate_warms_up_and_falls_to_zero_in_straight_lines():
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def captions(first: int):
    """Endless batches: the caption repeats the source text, so that a tiny model can learn it."""
    for step in count(first):
        images, texts = small_inputs(step % 4, rows=4)
        words = [text[1:-1] for text in texts]
        yield Batch(
            tuple("abcd"),
            tuple("abcd"),
            images,
            pad(texts),
            pad([[0, *w] for w in words]),
            pad([[*w, 2] for w in words]),
            ((),) * 4,
        )


def train(steps: int, validate_every: int, scores=None, state=None, **settings):
    torch.manual_seed(0)
    model = OFA(small_config())
    seen = {"reports": [], "best": [], "states": []}
    scores = iter(scores or count())
    hooks = Hooks(
        validate=lambda: float(next(scores)),
        report=seen["reports"].append,
        keep_best=lambda step, score: seen["best"].append((step, score)),
        keep_state=lambda kept: seen["states"].append(
            torch.utils._pytree.tree_map(lambda x: x.clone() if torch.is_tensor(x) else x, kept)
        ),
    )
    section = TrainingSection(
        **{"steps": steps, "validate_every": validate_every, "learning_rate": 3e-3, **settings}
    )
    best = finetune(shared_head(model, section, True), captions, section, hooks, state)
    return model, best, seen


def test_training_lowers_every_layers_loss():
    _, _, seen = train(40, 40)
    first, last = seen["reports"][0], seen["reports"][-1]
    assert len(first.losses) == 4
    assert all(
        after < 0.8 * before for before, after in zip(first.losses, last.losses, strict=True)
    )
    assert first.loss == pytest.approx(sum(first.losses) / 4, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("distillation", [0.0, 0.3])
@pytest.mark.parametrize("chunk", [1, 200, 10**6])
def test_the_loss_in_chunks_has_the_gradients_of_the_plain_one(
    smoothing, distillation, chunk, monkeypatch
):
    monkeypatch.setitem(head_loss_module.CHUNK_NUMBERS, "cpu", chunk)
    torch.manual_seed(0)
    hidden = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    targets, shares = torch.randint(0, 11, (7,)), torch.rand(3, 7, dtype=torch.float64)
    total, losses = head_loss(hidden, weight, targets, shares, smoothing, distillation)
    fast = torch.autograd.grad(2 * total, (hidden, weight))
    logits = hidden @ weight.t()
    plain = torch.stack([plain_cross_entropy(each, targets, smoothing) for each in logits])
    teacher = logits[-1].detach().softmax(1)
    soft = -(teacher * logits[:-1].log_softmax(2)).sum(2)
    mixed = torch.cat([(1 - distillation) * plain[:-1] + distillation * soft, plain[-1:]])
    slow = torch.autograd.grad(2 * (shares * mixed).sum(), (hidden, weight))
    assert torch.allclose(losses.double(), plain, atol=1e-5)
    assert total.item() == pytest.approx((shares * mixed).sum().item(), rel=1e-5)
    for ours, theirs in zip(fast, slow, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_gradients_are_kept_for_one_backward_pass():
    hidden, weight = torch.randn(1, 2, 3, requires_grad=True), torch.randn(5, 3)
    total, _ = head_loss(hidden, weight, torch.tensor([1, 4]), torch.ones(1, 2))
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        total.backward()


def test_several_captions_of_a_picture_have_the_gradients_of_as_many_rows():
    batch = next(captions(0))
    words, targets = batch.decoder_tokens, batch.target_tokens
    twice = replace(
        batch,
        decoder_tokens=torch.stack([words, words.flip(0)], 1).flatten(0, 1),
        target_tokens=torch.stack([targets, targets.flip(0)], 1).flatten(0, 1),
    )
    rows = replace(
        twice,
        images=batch.images.repeat_interleave(2, 0),
        source_tokens=batch.source_tokens.repeat_interleave(2, 0),
    )
    gradients = []
    for each in (twice, rows):
        torch.manual_seed(0)
        model = OFA(small_config()).train()
        stage = shared_head(model, TrainingSection(freeze_resnet=True), True)
        model.encoder.embed_images.eval()
        stage.loss(each, 0).total.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


def test_a_text_that_all_rows_share_is_encoded_once_with_the_same_gradients():
    batch = next(captions(0))
    same = batch.source_tokens[:1].expand(4, -1).contiguous()
    padded = torch.cat([same, torch.ones(4, 1, dtype=torch.long)], 1)
    for source in (same, padded):
        gradients = []
        for once in (True, False):
            torch.manual_seed(0)
            model = OFA(small_config()).train()
            model._is_one_text = lambda tokens, once=once: once
            stage = shared_head(model, TrainingSection(), True)
            stage.loss(replace(batch, source_tokens=source), 0).total.backward()
            gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        for name, gradient in gradients[0].items():
            assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


def test_with_dropout_every_row_has_its_own_text():
    model = OFA(small_config(dropout=0.1))
    tokens = torch.tensor([[0, 5, 2]] * 3)
    assert not model.train()._is_one_text(tokens)
    assert model.eval()._is_one_text(tokens)
    assert not model._is_one_text(torch.tensor([[0, 5, 2], [0, 6, 2]]))


def test_bfloat16_products_leave_weights_and_loss_in_float32():
    _, _, exact = train(3, 3)
    model, _, rough = train(3, 3, precision="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for ours, theirs in zip(rough["reports"], exact["reports"], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=2e-2)
        assert ours.loss != theirs.loss


def test_the_best_validation_is_kept():
    _, best, seen = train(4, 1, scores=[1, 3, 2, 3])
    assert best == 3.0
    assert seen["best"] == [(1, 1.0), (2, 3.0)]
    assert [report.score for report in seen["reports"]] == [1.0, 3.0, 2.0, 3.0]


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one():
    whole, _, seen = train(6, 3)
    resumed, _, _ = train(6, 3, state=seen["states"][0])
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_accumulated_batches_make_one_step_of_the_mean_over_their_targets():
    """Two batches under one step move the weights as the mean over all their targets does, as in
    fairseq; running on, the stream has given two batches a step.
    """
    torch.manual_seed(0)
    model = OFA(small_config()).train()
    model.encoder.embed_images.eval()
    parts = list(islice(captions(0), 2))
    counts = [int(batch.target_tokens.ne(1).sum()) for batch in parts]
    for batch, count_of_targets in zip(parts, counts, strict=True):
        states = model(batch.images, batch.source_tokens, batch.decoder_tokens, True)
        losses = plain_layer_losses(states, batch.target_tokens, model.decoder.logits)
        (losses.mean() * count_of_targets / sum(counts)).backward()
    expected = torch.stack(
        [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    ).norm()
    _, _, seen = train(1, 1, accumulation=2, freeze_resnet=True)
    resnet = torch.stack([p.grad.norm() for p in model.encoder.embed_images.parameters()]).norm()
    assert seen["reports"][0].gradient_norm == pytest.approx(
        float((expected**2 - resnet**2).sqrt()), rel=1e-4
    )


def test_a_resumed_run_goes_on_with_the_right_accumulated_batches():
    whole, _, seen = train(4, 2, accumulation=2)
    resumed, _, _ = train(4, 2, accumulation=2, state=seen["states"][0])
    assert all(
        torch.equal(weight, resumed.state_dict()[name])
        for name, weight in whole.state_dict().items()
    )


def test_a_frozen_resnet_keeps_weights_and_statistics():
    torch.manual_seed(0)
    before = OFA(small_config()).encoder.embed_images.state_dict()
    model, _, _ = train(2, 2, freeze_resnet=True)
    after = model.encoder.embed_images.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(MueError, match="not finite at step"):
        train(60, 60, clip_norm=1e9, warmup=0.0, learning_rate=1e12)


def test_recomputed_layers_have_the_same_gradients_under_the_same_dropout() -> None:
    gradients = []
    for run_layer in (kept, recomputed):
        torch.manual_seed(0)
        model = OFA(small_config(dropout=0.2, drop_path=0.2)).train()
        model.run_layer = run_layer
        shared_head(model, TrainingSection(), True).loss(next(captions(0)), 0).total.backward()
        gradients.append([each.grad for each in model.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)
