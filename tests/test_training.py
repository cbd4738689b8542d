"""Layer-wise loss (Eq. 12-13), schedule, and a loop that learns, keeps the best and resumes."""

import math
from itertools import count, islice

import pytest
import torch
import torch.nn.functional as F
from small_ofa import pad, small_config, small_inputs

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.losses import combine, layer_losses, smoothed_cross_entropy
from mue_cli.training.schedule import learning_rate_factor
from mue_cli.training.stages import shared_head


def test_cross_entropy_with_smoothing_worked_by_hand():
    """Probabilities 1/2, 1/4, 1/4; target 0; smoothing 0.2: 0.8 ln 2 + 0.1 ln 4 + 0.1 ln 4."""
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    expected = 0.8 * math.log(2) + 0.2 * math.log(4)
    assert smoothed_cross_entropy(logits, torch.tensor([0]), 0.2).item() == pytest.approx(expected)


def test_without_smoothing_it_is_cross_entropy():
    logits, targets = torch.randn(9, 5), torch.randint(0, 5, (9,))
    assert smoothed_cross_entropy(logits, targets, 0.0).item() == pytest.approx(
        F.cross_entropy(logits, targets).item(), abs=1e-6
    )


def test_every_layer_has_its_loss_and_equation_13_takes_their_mean():
    """Two layers, one asked position of two, identity head: losses ln 2 and ln(1 + e)."""
    states = [torch.tensor([[[0.0, 0.0], [9.0, -9.0]]]), torch.tensor([[[0.0, 1.0], [9.0, -9.0]]])]
    targets = torch.tensor([[0, 1]])  # 1 is padding: nothing asked there
    losses = layer_losses(states, targets, lambda hidden: hidden, 0.0)
    assert losses.tolist() == pytest.approx([math.log(2), math.log(1 + math.e)])
    assert combine(losses, "mean").item() == pytest.approx((math.log(2) + math.log(1 + math.e)) / 2)
    assert combine(losses, "sum").item() == pytest.approx(math.log(2) + math.log(1 + math.e))
    assert combine(losses, "weighted").item() == pytest.approx(
        (math.log(2) + 2 * math.log(1 + math.e)) / 3
    )
    assert combine(losses, "last").item() == pytest.approx(math.log(1 + math.e))


def test_closed_set_answers_compete_only_with_each_other():
    states, targets = [torch.tensor([[[1.0, 2.0, 50.0, 3.0]]])], torch.tensor([[0]])
    losses = layer_losses(states, targets, lambda hidden: hidden, 0.0, allowed_ids=[0, 3])
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(2))])


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


def test_accumulated_batches_make_one_step_of_their_mean_gradient():
    """Two batches under one step move the weights as their mean does; running on, the stream has
    given two batches a step.
    """
    torch.manual_seed(0)
    model = OFA(small_config()).train()
    model.encoder.embed_images.eval()
    for batch in islice(captions(0), 2):
        states = model(batch.images, batch.source_tokens, batch.decoder_tokens, True)
        (
            combine(layer_losses(states, batch.target_tokens, model.decoder.logits, 0.0), "mean")
            / 2
        ).backward()
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
