"""What each way of training moves, and by which loss: heads per layer, the imitation network, heads
on a frozen model.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import pytest
import torch
import torch.nn.functional as F
from small_ofa import small_config, small_model
from test_training import captions
from torch import nn

from mue_cli.data.batches import Batch
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.losses import imitation_loss, positions
from mue_cli.training.stages import (
    Stage,
    frozen_model,
    heads_accuracy,
    imitation,
    layer_heads,
    own_head,
    shared_head,
    start_heads,
)

ANSWERS = (9, 5, 30)


def questions(first: int) -> Iterator[Batch]:
    """Endless batches of a closed set: one answer is asked at the end of each row."""
    for step, batch in zip(count(first), captions(first), strict=False):
        targets = torch.full_like(batch.target_tokens, 1)
        ends = batch.target_tokens.ne(1).sum(1) - 1
        targets[torch.arange(4), ends] = torch.tensor(
            [ANSWERS[(step + row) % 3] for row in range(4)]
        )
        yield replace(batch, target_tokens=targets)


def new_heads(num_classes: int = 60) -> LayerHeads:
    return LayerHeads(4, 32, num_classes)


def section(steps: int = 4, **settings: object) -> TrainingSection:
    return TrainingSection(
        **{"steps": steps, "validate_every": 2, "learning_rate": 3e-3, **settings}
    )


def run(stage: Stage, settings: TrainingSection, batches=captions, state=None) -> list:
    """Train, and return copies of what was kept for resuming."""
    states: list = []
    hooks = Hooks(
        lambda: 0.0,
        lambda report: None,
        lambda step, score: None,
        lambda kept: states.append(copy.deepcopy(kept)),
    )
    finetune(stage, batches, settings, hooks, state)
    return states


def moved(module: nn.Module, before: dict) -> list[str]:
    return [
        name
        for name, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[name])
    ]


def test_heads_start_as_the_models_own_head_to_the_bit() -> None:
    model, heads, states = small_model(0), new_heads(), torch.randn(5, 32)
    start_heads(heads, model)
    head = own_head(model)
    assert all(
        torch.equal(heads.read(states, layer, head), model.decoder.logits(states))
        for layer in (1, 2, 3, 4)
    )


def test_heads_of_a_closed_set_start_as_the_rows_of_its_answers() -> None:
    model, heads, states = small_model(0), new_heads(3), torch.randn(5, 32)
    start_heads(heads, model, ANSWERS)
    expected = model.decoder.logits(states)[:, list(ANSWERS)]
    assert torch.allclose(heads.read(states, 1, own_head(model, ANSWERS)), expected, atol=1e-5)
    assert torch.allclose(own_head(model, ANSWERS)(states), expected, atol=1e-5)


def test_answers_become_their_places_in_the_closed_set() -> None:
    """Of two rows, one asks at its end for token 5, the other for 30: places 1 and 2 of (9, 5, 30)."""
    states = [torch.arange(6.0).reshape(2, 3, 1)]
    found = positions(states, torch.tensor([[1, 1, 5], [1, 30, 1]]), ANSWERS)
    assert found.targets.tolist() == [1, 2]
    assert found.states[0].flatten().tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("answer_ids", "batches"), [((), captions), (ANSWERS, questions)], ids=["captions", "answers"]
)
def test_fresh_heads_lose_what_the_shared_head_loses_and_deeper_layers_count_more(
    answer_ids, batches
) -> None:
    model, settings, batch = (
        small_model(0),
        section(layer_loss="weighted", label_smoothing=0.1),
        next(batches(0)),
    )
    shared = shared_head(model, settings, True, answer_ids).loss(batch, 0)
    own = layer_heads(model, new_heads(len(answer_ids) or 60), settings, True, answer_ids).loss(
        batch, 0
    )
    assert torch.allclose(shared.layers, own.layers, rtol=1e-5)
    expected = sum(layer * loss for layer, loss in enumerate(shared.layers.tolist(), start=1)) / 10
    assert own.total.item() == pytest.approx(expected, rel=1e-5)


def test_an_untouched_settings_loss_does_not_change_how_heads_are_combined() -> None:
    model, batch = small_model(0), next(captions(0))
    totals = [
        layer_heads(model, new_heads(), section(layer_loss=how), True).loss(batch, 0).total.item()
        for how in ("mean", "sum")
    ]
    assert totals[0] == totals[1]


def test_heads_on_a_frozen_model_lose_the_sum_of_all_layers_but_the_last() -> None:
    model, settings, batch = small_model(0), section(), next(captions(0))
    layers = shared_head(model, settings, True).loss(batch, 0).layers
    loss = frozen_model(model, new_heads(), settings, True).loss(batch, 0)
    assert loss.total.item() == pytest.approx(layers[:-1].sum().item(), rel=1e-5)


@pytest.mark.parametrize("batches", [captions, questions])
def test_second_stage_leaves_every_number_of_the_model_and_moves_every_head(batches) -> None:
    model = small_model(0, dropout=0.3).train()
    answer_ids = () if batches is captions else ANSWERS
    heads = new_heads(len(answer_ids) or 60)
    before = copy.deepcopy(model.state_dict())
    stage = frozen_model(model, heads, section(), True, answer_ids)
    fresh = copy.deepcopy(heads.state_dict())
    run(stage, section(), batches)
    assert moved(model, before) == [] and "encoder.embed_images.bn1.running_mean" in before
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())
    assert moved(heads, fresh) == list(fresh)


def test_second_stage_lowers_the_loss_of_the_heads() -> None:
    model, heads, settings = (
        small_model(0),
        new_heads(),
        section(40, validate_every=40, learning_rate=0.02),
    )
    stage, batches = frozen_model(model, heads, settings, True), list(islice(captions(0), 4))
    before, right = stage.loss(batches[0], 0).layers, heads_accuracy(model, heads, batches, True)
    run(stage, settings)
    assert bool((stage.loss(batches[0], 0).layers < 0.8 * before).all())
    assert 0 <= right < heads_accuracy(model, heads, batches, True) <= 100


def test_accuracy_of_heads_is_the_share_of_targets_that_they_give() -> None:
    """Heads that always answer place 1: four of twelve questions, as the answers take turns."""
    model, heads = small_model(0), new_heads(3)
    for head in heads.heads:
        nn.init.zeros_(head.weight)
    for norm in heads.norms:
        nn.init.zeros_(norm.weight)
        nn.init.ones_(norm.bias)
    for head in heads.heads:
        head.weight.data[1] = 1.0
    assert heads_accuracy(
        model, heads, list(islice(questions(0), 3)), True, ANSWERS
    ) == pytest.approx(100 / 3)


def test_imitated_states_that_point_the_right_way_lose_nothing() -> None:
    """Maps without weights give one state each, tanh of their biases; real states are twice as
    long, which cosine does not mind.
    """
    readout, deep = ImitationHead(3, 2), torch.tensor([[0.3, -0.4], [0.1, 0.5]])
    for each, wanted in zip(readout.maps, deep, strict=True):
        nn.init.zeros_(each.weight)
        each.bias.data = torch.atanh(wanted)
    seen = [torch.randn(7, 2), 2 * deep[0].expand(7, 2), 2 * deep[1].expand(7, 2)]
    loss = imitation_loss([readout.imitate(seen[0], 1), readout.imitate(seen[1], 2)], seen)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_imitation_loss_worked_by_hand() -> None:
    """Three layers, one position; cosines of the pairs (1, 2), (1, 3), (2, 3): 0, 1 and 3/5."""
    real = [torch.tensor([[9.0, 9.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 5.0]])]
    imitated = [torch.tensor([[[0.0, 2.0]], [[0.0, 1.0]]]), torch.tensor([[[4.0, 3.0]]])]
    assert imitation_loss(imitated, real).item() == pytest.approx((1.0 + 0.0 + 0.4) / 3)


def test_imitation_does_not_pull_the_real_states() -> None:
    real = [torch.randn(3, 2, requires_grad=True) for _ in range(2)]
    imitation_loss([torch.randn(1, 3, 2, requires_grad=True)], real).backward()
    assert all(state.grad is None for state in real)


def test_deecap_adds_the_imitation_to_the_weighted_task_losses() -> None:
    model, readout, batch = small_model(0), ImitationHead(4, 32), next(captions(0))
    loss = imitation(model, readout, section(), True).loss(batch, 0)
    task = sum(layer * value for layer, value in enumerate(loss.layers.tolist(), start=1)) / 10
    states = model(batch.images, batch.source_tokens, batch.decoder_tokens, True)
    seen = [model.decoder.layer_norm(state[batch.target_tokens != 1]) for state in states]
    off = [
        1 - F.cosine_similarity(torch.tanh(readout.maps[m - 1](seen[i])), seen[m], dim=1)
        for i in range(4)
        for m in range(i + 1, 4)
    ]
    assert loss.total.item() - task == pytest.approx(torch.stack(off).mean().item(), abs=1e-5)
    assert len(off) == 6


def joint(kind: str, settings: TrainingSection) -> tuple[OFA, nn.Module, Stage]:
    torch.manual_seed(0)
    model = OFA(small_config())
    if kind == "heads":
        heads = new_heads()
        return model, heads, layer_heads(model, heads, settings, True)
    readout = ImitationHead(4, 32)
    return model, readout, imitation(model, readout, settings, True)


@pytest.mark.parametrize("kind", ["heads", "imitation"])
def test_joint_training_moves_the_model_and_the_whole_readout(kind: str) -> None:
    model, readout, stage = joint(kind, section())
    before, fresh = copy.deepcopy(model.state_dict()), copy.deepcopy(readout.state_dict())
    run(stage, section())
    assert moved(readout, fresh) == list(fresh)
    assert {"encoder.layers.0.fc1.weight", "decoder.layers.0.fc1.weight"} <= set(
        moved(model, before)
    )


@pytest.mark.parametrize("kind", ["heads", "imitation"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_joint_training_that_was_resumed_ends_as_an_uninterrupted_one(
    kind: str, share: float
) -> None:
    """With half of the steps for the last layer alone, resuming meets the very step at which heads
    start.
    """
    settings = section(4, last_layer_first=share)
    model, readout, stage = joint(kind, settings)
    states = run(stage, settings)
    other_model, other_readout, other_stage = joint(kind, settings)
    run(other_stage, settings, state=states[0])
    assert (
        moved(other_model, model.state_dict()) == []
        and moved(other_readout, readout.state_dict()) == []
    )


@pytest.mark.parametrize("step", [1, 2])
def test_heads_follow_the_models_head_until_their_training_starts(step: int) -> None:
    settings = section(4, last_layer_first=0.5)
    model, heads, stage = joint("heads", settings)
    run(stage, replace(settings, steps=2))  # the first half: the last layer alone
    stage.before_step(step)
    states = torch.randn(5, 32)
    assert torch.equal(heads.read(states, 1, own_head(model)), model.decoder.logits(states))
    stage.before_step(3)
    before = copy.deepcopy(heads.state_dict())
    nn.init.normal_(model.decoder.embed_tokens.weight)
    stage.before_step(3)
    assert moved(heads, before) == [], "from then on they are on their own"


def test_a_frozen_resnet_stays_so_in_joint_training() -> None:
    settings = section(freeze_resnet=True)
    model, _, stage = joint("heads", settings)
    before = copy.deepcopy(model.encoder.embed_images.state_dict())
    run(stage, settings)
    assert moved(model.encoder.embed_images, before) == []
