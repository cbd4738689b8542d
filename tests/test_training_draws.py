"""Exposure and rotation: what is drawn at a step, and what it does to the loss."""

from collections import Counter

import pytest
import torch
from small_ofa import small_config
from test_training import captions

from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.draws import drawn_depths, rotated
from mue_cli.training.stages import shared_head


def test_depths_are_the_same_whenever_a_step_is_done() -> None:
    assert [drawn_depths(7, 1.0, 6, 2)] * 2 == [
        drawn_depths(7, 1.0, 6, 2),
        drawn_depths(7, 1, 6, 2),
    ]


def test_every_depth_comes_alike_in_the_share_of_steps() -> None:
    drawn = [drawn_depths(step, 0.5, 4, 2) for step in range(4000)]
    assert 1900 < sum(each is not None for each in drawn) < 2100
    images = Counter(each[0] for each in drawn if each is not None)
    assert set(images) == {1, 2, 3, 4}
    assert min(images.values()) > 0.8 * max(images.values())


def test_without_exposure_no_depth_is_drawn() -> None:
    assert {drawn_depths(step, 0.0, 4, 2) for step in range(100)} == {None}


def test_rotated_layers_count_the_same_in_the_mean() -> None:
    weights = [0.1, 0.2, 0.3, 0.4]
    steps = [rotated(weights, step, 1) for step in range(3000)]
    assert all(sum(weight > 0 for weight in each) == 2 and each[-1] == 0.4 for each in steps)
    means = [sum(layer) / len(steps) for layer in zip(*steps, strict=True)]
    assert means == pytest.approx(weights, rel=0.1)


def test_rotating_as_many_layers_as_there_are_changes_nothing() -> None:
    assert rotated([0.25] * 4, 3, 3) == [0.25] * 4
    assert rotated([0.25] * 4, 3, 0) == [0.25] * 4


def test_only_the_drawn_layers_are_read() -> None:
    torch.manual_seed(0)
    stage = shared_head(OFA(small_config()), TrainingSection(rotating_layers=1), True)
    losses = stage.loss(next(captions(0)), 5).layers
    assert losses.isnan().sum() == 2
    assert not losses[-1].isnan()


def test_an_exposed_step_moves_no_encoder_layer_beyond_the_drawn_depths() -> None:
    torch.manual_seed(0)
    model = OFA(small_config())
    stage = shared_head(model, TrainingSection(exposure=1.0), True)
    step = next(n for n in range(99) if max(drawn_depths(n, 1.0, 4, 2) or (9,)) == 2)
    stage.loss(next(captions(0)), step).total.backward()
    moved = [layer.fc1.weight.grad is not None for layer in model.encoder.layers]
    assert moved == [True, True, False, False]


def test_frozen_embeddings_get_no_gradient() -> None:
    model = OFA(small_config())
    stage = shared_head(model, TrainingSection(freeze_embeddings=True), True)
    stage.loss(next(captions(0)), 0).total.backward()
    assert model.decoder.embed_tokens.weight.grad is None
    assert model.decoder.layers[0].fc1.weight.grad is not None


def test_the_worst_words_count_until_their_time_has_come() -> None:
    torch.manual_seed(0)
    model, batch = OFA(small_config()).eval(), next(captions(0))
    settings = TrainingSection(drop_worst=0.5, drop_worst_after=10)
    stage = shared_head(model, settings, True)
    assert stage.loss(batch, 10).total < stage.loss(batch, 9).total
