"""What is trained by which loss, one function per way of training; the loop
(mue_cli/training/loop.py) is the same for all.

| stage | moves | loss |
| --- | --- | --- |
| shared_head | the model | every layer through the model's head, combined by training.layer_loss |
| layer_heads | the model and a head per layer | every layer through its own head, weighted (PABEE) |
| imitation | the model and the imitation network | every layer through it, weighted, and how far imitated states are off (DeeCap) |
| frozen_model | a head per layer, nothing else | every head's, summed (DeeBERT's second stage) |

Shape letters: M positions that have a target, D embed, N layers.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mue_cli.data.batches import Batch
from mue_cli.exits.heads import ImitationHead, LayerHeads, ModelHead
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.losses import Asked, asked, combine, imitation_loss, layer_losses, read_losses


@dataclass(frozen=True)
class Loss:
    """total: what is minimised. layers: task loss of each layer that is trained, for the log."""

    total: Tensor
    layers: Tensor


@dataclass(frozen=True)
class Stage:
    """modules: what moves, by name; resuming restores it. loss: of a batch at a step, from 0.
    still: parts of the modules that stay in evaluation mode. before_step: called once at the start
    of each step.
    """

    modules: Mapping[str, nn.Module]
    loss: Callable[[Batch, int], Loss]
    still: Sequence[nn.Module] = ()
    before_step: Callable[[int], None] = lambda step: None


def own_head(model: OFA, answer_ids: Sequence[int] = ()) -> ModelHead:
    """Return the model's head with its weights as they are now: of the whole vocabulary, or of a
    closed set's answers.
    """
    return ModelHead(model.decoder.layer_norm, model.decoder.projection(answer_ids or None))


def start_heads(heads: LayerHeads, model: OFA, answer_ids: Sequence[int] = ()) -> None:
    """Make every head a copy of the model's, of the whole vocabulary or of a closed set's answers."""
    weight = model.decoder.embed_tokens.weight
    heads.start_from(model.decoder.layer_norm, weight[list(answer_ids)] if answer_ids else weight)


def shared_head(
    model: OFA, settings: TrainingSection, decompose: bool, answer_ids: Sequence[int] = ()
) -> Stage:
    """Train the model, its head reading every layer (Eq. 12-13)."""

    def loss(batch: Batch, step: int) -> Loss:
        states, targets = _teach(model, batch, decompose)
        layers = layer_losses(
            states, targets, model.decoder.logits, settings.label_smoothing, answer_ids
        )
        return Loss(
            combine(layers, settings.layer_loss if step >= _first_joint(settings) else "last"),
            layers,
        )

    return Stage({"model": model}, loss, _frozen_parts(model, settings))


def layer_heads(
    model: OFA,
    heads: LayerHeads,
    settings: TrainingSection,
    decompose: bool,
    answer_ids: Sequence[int] = (),
) -> Stage:
    """Train the model and its heads together (Zhou et al., NeurIPS 2020): deeper layers count more.

    While the last layer is trained alone, the heads follow as copies of the model's: weights kept
    then have heads too.
    """

    def loss(batch: Batch, step: int) -> Loss:
        found = asked(*_teach(model, batch, decompose), answer_ids)
        layers = read_losses(
            found, partial(_read, heads, own_head(model, answer_ids)), settings.label_smoothing
        )
        return Loss(
            combine(layers, "weighted" if step >= _first_joint(settings) else "last"), layers
        )

    def before_step(step: int) -> None:
        if step <= _first_joint(settings):
            start_heads(heads, model, answer_ids)

    start_heads(heads, model, answer_ids)
    return Stage(
        {"model": model, "readout": heads}, loss, _frozen_parts(model, settings), before_step
    )


def imitation(
    model: OFA,
    readout: ImitationHead,
    settings: TrainingSection,
    decompose: bool,
    answer_ids: Sequence[int] = (),
) -> Stage:
    """Train the model and its imitation network together (Fei et al., CVPR 2022): task losses
    weighted by depth, plus the imitation's.
    """

    def loss(batch: Batch, step: int) -> Loss:
        found, head = (
            asked(*_teach(model, batch, decompose), answer_ids),
            own_head(model, answer_ids),
        )
        layers = read_losses(found, partial(_read, readout, head), settings.label_smoothing)
        if step < _first_joint(settings):
            return Loss(combine(layers, "last"), layers)
        return Loss(combine(layers, "weighted") + _imitation(found, readout, head), layers)

    return Stage({"model": model, "readout": readout}, loss, _frozen_parts(model, settings))


def frozen_model(
    model: OFA,
    heads: LayerHeads,
    settings: TrainingSection,
    decompose: bool,
    answer_ids: Sequence[int] = (),
) -> Stage:
    """Train heads alone, on a model in evaluation mode that nothing moves (Xin et al., ACL 2020,
    second stage).
    """

    def loss(batch: Batch, step: int) -> Loss:
        found = _asked_of_heads(model, batch, decompose, answer_ids)
        layers = read_losses(
            found, partial(_read, heads, own_head(model, answer_ids)), settings.label_smoothing
        )
        return Loss(layers.sum(), layers)

    model.eval()
    start_heads(heads, model, answer_ids)
    return Stage({"readout": heads}, loss)


@torch.no_grad()
def heads_accuracy(
    model: OFA,
    heads: LayerHeads,
    batches: Iterable[Batch],
    decompose: bool,
    answer_ids: Sequence[int] = (),
) -> float:
    """Return the percentage of targets that the heads give, their mean, each told the right words
    so far.
    """
    head, right, total = own_head(model, answer_ids), 0, 0
    for batch in batches:
        found = _asked_of_heads(model, batch, decompose, answer_ids)
        for layer, state in enumerate(found.states, start=1):
            right += int((_read(heads, head, state, layer).argmax(1) == found.targets).sum())
            total += len(found.targets)
    return 100.0 * right / total


def _teach(model: OFA, batch: Batch, decompose: bool) -> tuple[list[Tensor], Tensor]:
    """Return the states of all layers under teacher forcing, and the targets."""
    device = model.decoder.layer_norm.weight.device
    images, source, words = (
        part.to(device) for part in (batch.images, batch.source_tokens, batch.decoder_tokens)
    )
    return model(images, source, words, decompose), batch.target_tokens.to(device)


def _asked_of_heads(model: OFA, batch: Batch, decompose: bool, answer_ids: Sequence[int]) -> Asked:
    """Return the states of all layers but the last, which keeps the model's head."""
    with torch.no_grad():
        states, targets = _teach(model, batch, decompose)
    return asked(states[:-1], targets, answer_ids)


def _read(
    readout: LayerHeads | ImitationHead, head: ModelHead, states: Tensor, layer: int
) -> Tensor:
    return readout.read(states, layer, head)


def _imitation(found: Asked, readout: ImitationHead, head: ModelHead) -> Tensor:
    seen = [head.norm(state) for state in found.states]
    return imitation_loss(
        [readout.imitate(state, layer) for layer, state in enumerate(seen[:-1], start=1)], seen
    )


def _first_joint(settings: TrainingSection) -> int:
    """Return the step, from 0, from which on all layers are trained."""
    return math.ceil(settings.last_layer_first * settings.steps)


def _frozen_parts(model: OFA, settings: TrainingSection) -> tuple[nn.Module, ...]:
    """Freeze what the recipe keeps as it is, and return it."""
    if not settings.freeze_resnet:
        return ()
    return (model.encoder.embed_images.requires_grad_(False),)
