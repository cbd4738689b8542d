"""Self-critical training (Rennie et al., CVPR 2017), OFA's second stage for captions: the model
samples captions, and those that CIDEr-D likes better than the others become more likely.

Paper: the baseline of a caption's reward is that of the greedy caption.
OFA: the hypotheses of beam search are the samples, a caption's baseline is the mean of the others.
Here: either, by training.baseline. The loss is reward over baseline times -log p, summed over all
words and divided by their number.

Shape letters: B pictures, K samples of a picture, T positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.model.encoder import PAD_ID
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.losses import Loss, LossForm, task_loss
from mue_cli.training.precision import products
from mue_cli.training.stages import Stage, frozen_parts, read_positions, step_weights

BOS_ID = 0


@dataclass(frozen=True)
class Sampled:
    """A caption the model wrote. tokens: with end-of-sequence, without BOS. text: as scored."""

    tokens: tuple[int, ...]
    text: str


Sample = Callable[[Batch], list[list[Sampled]]]
"""Captions of each picture of a batch, by the model as it is, in evaluation mode."""
Reward = Callable[[Batch, Sequence[Sequence[str]]], list[list[float]]]
"""reward(batch, texts): of each text of each picture."""


def self_critical(
    model: OFA,
    settings: TrainingSection,
    decompose: bool,
    sample: Sample,
    greedy: Sample | None,
    reward: Reward,
) -> Stage:
    """Train the model by the reward of what it samples. greedy: the one caption whose reward is the
    baseline; None for the mean of a picture's other samples.
    """
    still = frozen_parts(model, settings)

    def loss(batch: Batch, step: int) -> Loss:
        model.eval()
        sampled = sample(batch)
        rewards = reward(batch, [[each.text for each in row] for row in sampled])
        baselines = None
        if greedy is not None:
            texts = [[each.text for each in row] for row in greedy(batch)]
            baselines = [row[0] for row in reward(batch, texts)]
        model.train()
        for part in still:
            part.eval()
        taught, weights = _as_batch(batch, sampled, advantages(rewards, baselines))
        with products(model.decoder.layer_norm.weight.device, settings.precision):
            read = read_positions(model, taught, decompose)
            return task_loss(
                model.decoder.layer_norm(read.states),
                [model.decoder.embed_tokens.weight],
                read.targets,
                step_weights(settings, step, settings.layer_loss, len(read.states)),
                LossForm(),
                weights.to(read.targets.device),
            )

    return Stage({"model": model}, loss, still, learns_targets=False)


def advantages(
    rewards: Sequence[Sequence[float]], baselines: Sequence[float] | None = None
) -> list[list[float]]:
    """Return each sample's reward over its baseline: the picture's own, or the mean of its other
    samples; a lone sample has nothing to be compared with.
    """
    if baselines is not None:
        pairs = zip(rewards, baselines, strict=True)
        return [[each - baseline for each in row] for row, baseline in pairs]
    return [
        [each - (sum(row) - each) / (len(row) - 1) if len(row) > 1 else 0.0 for each in row]
        for row in rewards
    ]


def _as_batch(
    batch: Batch, sampled: Sequence[Sequence[Sampled]], gains: Sequence[Sequence[float]]
) -> tuple[Batch, Tensor]:
    """Return the batch with its samples as captions, K for every picture, and the gain of each of
    their words. A picture with fewer samples has rows without a target.
    """
    most = max(len(row) for row in sampled)
    rows = [[*row, *[Sampled((), "")] * (most - len(row))] for row in sampled]
    captions = [each.tokens for row in rows for each in row]
    length = max(len(tokens) for tokens in captions)
    words = torch.full((len(captions), length), PAD_ID)
    targets = torch.full((len(captions), length), PAD_ID)
    words[:, 0] = BOS_ID
    for row, tokens in enumerate(captions):
        targets[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        words[row, 1 : len(tokens)] = torch.tensor(tokens[:-1], dtype=torch.long)
    flat = [gain for row in gains for gain in row]
    lengths = [len(each.tokens) for row in sampled for each in row]
    weights = torch.tensor(flat).repeat_interleave(torch.tensor(lengths))
    return replace(batch, decoder_tokens=words, target_tokens=targets), weights
