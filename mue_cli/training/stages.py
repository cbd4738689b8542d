"""What is trained by which loss, one function per way of training; the loop
(mue_cli/training/loop.py) is the same for all.

| stage | moves | loss |
| --- | --- | --- |
| shared_head | the model | every layer through the model's head, as training.layer_loss says |
| layer_heads | the model, a head per layer | every layer through its own, weighted (PABEE) |
| imitation | the model, imitation network | every layer through it, and its misses (DeeCap) |
| frozen_model | a head per layer, nothing else | every head's, summed (DeeBERT's second stage) |
| self_critical | the model | reward of what it samples (self_critical.py; OFA's second stage) |

Shape letters: M positions that have a target, D embed, V classes, N layers.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mue_cli.data.batches import Batch
from mue_cli.exits.heads import ImitationHead, LayerHeads, ModelHead
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.draws import drawn_depths, rotated
from mue_cli.training.losses import (
    Loss,
    LossForm,
    Positions,
    imitation_loss,
    layer_weights,
    positions,
    task_loss,
)
from mue_cli.training.precision import products

NORMED = ModelHead(lambda state: state, lambda state: state)
"""Stands for the model's head where states are normed already and logits are not wanted yet."""


@dataclass(frozen=True)
class Stage:
    """modules: what moves, by name; resuming restores it. loss: of a batch at a step, from 0.
    still: parts of the modules that stay in evaluation mode. before_step: called once at the start
    of each step. learns_targets: whether the batch's own targets are learned; where they are mere
    references, none of them is cut.
    """

    modules: Mapping[str, nn.Module]
    loss: Callable[[Batch, int], Loss]
    still: Sequence[nn.Module] = ()
    before_step: Callable[[int], None] = lambda step: None
    learns_targets: bool = True

    def num_cut(self, parts: Iterable[Batch]) -> int:
        """Return how many texts that are learned lost their end."""
        return sum(part.num_cut for part in parts) if self.learns_targets else 0


def own_head(model: OFA, answer_ids: Sequence[int] = ()) -> ModelHead:
    """Return the model's head with its weights as they are now: of the whole vocabulary, or of a
    closed set's answers.
    """
    return ModelHead(model.decoder.layer_norm, model.decoder.projection(answer_ids or None))


def start_heads(heads: LayerHeads, model: OFA, answer_ids: Sequence[int] = ()) -> None:
    """Make every head a copy of the model's, of the vocabulary or of a closed set's answers."""
    heads.start_from(model.decoder.layer_norm, _head_weight(model, answer_ids))


def shared_head(
    model: OFA, settings: TrainingSection, decompose: bool, answer_ids: Sequence[int] = ()
) -> Stage:
    """Train the model, its head reading every layer (Eq. 12-13)."""

    def loss(batch: Batch, step: int) -> Loss:
        with products(_device(model), settings.precision):
            depths = _depths(model, settings, step, decompose)
            read = read_positions(model, batch, decompose, answer_ids, depths)
            return task_loss(
                model.decoder.layer_norm(read.states),
                [_head_weight(model, answer_ids)],
                read.targets,
                step_weights(settings, step, settings.layer_loss, len(read.states)),
                _form(settings, step),
            )

    return Stage({"model": model}, loss, frozen_parts(model, settings))


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
        with products(_device(model), settings.precision):
            depths = _depths(model, settings, step, decompose)
            read = read_positions(model, batch, decompose, answer_ids, depths)
            return _heads_loss(
                read,
                heads,
                (model.decoder.layer_norm, _head_weight(model, answer_ids)),
                step_weights(settings, step, "weighted", len(read.states)),
                _form(settings, step),
            )

    def before_step(step: int) -> None:
        if step <= first_joint_step(settings):
            start_heads(heads, model, answer_ids)

    start_heads(heads, model, answer_ids)
    return Stage({"model": model, "head": heads}, loss, frozen_parts(model, settings), before_step)


def imitation(
    model: OFA,
    imitating: ImitationHead,
    settings: TrainingSection,
    decompose: bool,
    answer_ids: Sequence[int] = (),
) -> Stage:
    """Train the model and its imitation network together (Fei et al., CVPR 2022): task losses
    weighted by depth, plus the imitation's.
    """

    def loss(batch: Batch, step: int) -> Loss:
        joint = step >= first_joint_step(settings)
        with products(_device(model), settings.precision):
            depths = _depths(model, settings, step, decompose)
            read = read_positions(model, batch, decompose, answer_ids, depths)
            normed = list(model.decoder.layer_norm(read.states))
            task = task_loss(
                [imitating.read(state, layer, NORMED) for layer, state in enumerate(normed, 1)],
                [_head_weight(model, answer_ids)],
                read.targets,
                step_weights(settings, step, "weighted", len(normed)),
                _form(settings, step),
            )
            if not joint:
                return task
            imitated = [imitating.imitate(state, i) for i, state in enumerate(normed[:-1], 1)]
            return Loss(task.total + imitation_loss(imitated, normed), task.layers)

    return Stage({"model": model, "head": imitating}, loss, frozen_parts(model, settings))


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
        with products(_device(model), settings.precision):
            with torch.no_grad():
                read = read_positions(model, batch, decompose, answer_ids)
            weights = [1.0] * (len(read.states) - 1)
            return _heads_loss(read, heads, None, weights, _form(settings, step))

    model.eval()
    start_heads(heads, model, answer_ids)
    return Stage({"head": heads}, loss)


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
        read = read_positions(model, batch, decompose, answer_ids)
        for layer, state in enumerate(read.states[:-1], start=1):
            right += int((heads.read(state, layer, head).argmax(1) == read.targets).sum())
            total += len(read.targets)
    return 100.0 * right / total


def first_joint_step(settings: TrainingSection) -> int:
    """Return the step, from 0, from which on all layers are trained."""
    return math.ceil(settings.last_layer_first * settings.steps)


def read_positions(
    model: OFA,
    batch: Batch,
    decompose: bool,
    answer_ids: Sequence[int] = (),
    depths: Sequence[int] | None = None,
) -> Positions:
    """Return what all layers leave at the positions that have a target, the right words given.

    depths: after how many layers each stream leaves the encoder; None for all.
    """
    device = _device(model)
    images, source, words = (
        part.to(device, non_blocking=True)
        for part in (batch.images, batch.source_tokens, batch.decoder_tokens)
    )
    encoded = model.encode(images, source, decompose)
    if depths is not None:
        streams = zip(encoded.states.values(), depths, strict=True)
        left = [states[depth] for states, depth in streams]
        encoded = replace(encoded, hidden=model.encoder.join(left))
    return positions(model.decode(words, encoded)[1:], batch.target_tokens, answer_ids)


def _depths(
    model: OFA, settings: TrainingSection, step: int, decompose: bool
) -> tuple[int, ...] | None:
    num_layers, num_streams = len(model.encoder.layers), 2 if decompose else 1
    return drawn_depths(step, settings.exposure, num_layers, num_streams)


def step_weights(settings: TrainingSection, step: int, how: str, num_layers: int) -> list[float]:
    """Return what each layer's loss counts at a step."""
    if step < first_joint_step(settings):
        return layer_weights("last", num_layers)
    return rotated(layer_weights(how, num_layers), step, settings.rotating_layers)


def _heads_loss(
    read: Positions,
    heads: LayerHeads,
    last: tuple[nn.Module, Tensor] | None,
    weights: Sequence[float],
    form: LossForm,
) -> Loss:
    """Return the loss of a head per layer. last: norm and head of the last layer, the model's own;
    None where it is not trained.
    """
    own = [
        (norm, head.get_parameter("weight"))
        for norm, head in zip(heads.norms, heads.heads, strict=True)
    ]
    pairs = own if last is None else [*own, last]
    hidden = [
        norm(state) if weight > 0.0 else state
        for (norm, _), state, weight in zip(pairs, read.states, weights, strict=False)
    ]
    return task_loss(hidden, [head for _, head in pairs], read.targets, weights, form)


def _head_weight(model: OFA, answer_ids: Sequence[int]) -> Tensor:
    """Return the head, (V, D): of the vocabulary, or of a closed set's answers."""
    weight = model.decoder.embed_tokens.weight
    return weight[list(answer_ids)] if answer_ids else weight


def _form(settings: TrainingSection, step: int) -> LossForm:
    dropped = settings.drop_worst if step >= settings.drop_worst_after else 0.0
    return LossForm(settings.label_smoothing, dropped, settings.distillation)


def _device(model: OFA) -> torch.device:
    return model.decoder.layer_norm.weight.device


def frozen_parts(model: OFA, settings: TrainingSection) -> tuple[nn.Module, ...]:
    """Freeze what the recipe keeps as it is, and return the parts that stay in evaluation mode."""
    if settings.freeze_embeddings:
        model.decoder.embed_tokens.requires_grad_(False)
    if not settings.freeze_resnet:
        return ()
    return (model.encoder.embed_images.requires_grad_(False),)
