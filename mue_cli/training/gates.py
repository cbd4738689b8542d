"""How gates are trained: what leaving after each layer does to the answer, and the logistic loss of
foretelling it. The model stays as it is.

A stream of the encoder is cut at one layer, all else at full depth; a word of the decoder is read
after one layer. The answer stays where the most probable word is the full model's, the right words
given so far; of a caption's stream, the share of its words counts.

Shape letters: B rows, Q texts of a row, T positions, M positions that have a target, D embed, C
features, N layers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.exits.gate import Gates, features
from mue_cli.exits.heads import ModelHead
from mue_cli.exits.observation import Observation
from mue_cli.model.encoder import PAD_ID
from mue_cli.model.ofa import OFA, EncoderOutput
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.losses import Loss
from mue_cli.training.precision import products
from mue_cli.training.stages import Stage, own_head

GATES_RATE = 0.1
"""Peak learning rate of gates: a logistic's weights go further than a model's, whatever its own."""


@dataclass(frozen=True)
class Outcome:
    """What leaving a stream after a layer does. features: (R, C) of each row there. stays: (R,),
    whether its answer stays the full model's: 0, 1, or a share of the words.
    """

    stream: str
    layer: int
    features: Tensor
    stays: Tensor


@dataclass(frozen=True)
class Inputs:
    """What the model needs besides: how the input is cut, answers of a closed set, and N of Eq. 11
    where text is generated.
    """

    decompose: bool
    answer_ids: Sequence[int] = ()
    num_steps: int | None = None


def gate_stage(model: OFA, gates: Gates, settings: TrainingSection, inputs: Inputs) -> Stage:
    """Train gates alone, on a model in evaluation mode that nothing moves."""

    def loss(batch: Batch, step: int) -> Loss:
        with products(model.decoder.layer_norm.weight.device, settings.precision):
            every = list(outcomes(model, batch, inputs))
        losses = {}
        for each in every:
            gate = gates.gate(each.stream)
            gate.observe(each.features, each.layer)
            logits = gate(each.features, each.layer)
            losses[each.stream, each.layer] = F.binary_cross_entropy_with_logits(logits, each.stays)
        layers = [value.detach() for (stream, _), value in losses.items() if stream == "decoder"]
        return Loss(torch.stack(list(losses.values())).sum(), torch.stack(layers))

    model.eval()
    return Stage({"head": gates}, loss)


@torch.no_grad()
def gates_score(model: OFA, gates: Gates, batches: Iterable[Batch], inputs: Inputs) -> float:
    """Return 100 less the Brier score, in per cent, of all that the gates foretell."""
    error, count = 0.0, 0
    for batch in batches:
        for each in outcomes(model, batch, inputs):
            chance = gates.gate(each.stream)(each.features, each.layer).sigmoid()
            error += float((chance - each.stays).square().sum())
            count += len(chance)
    return 100.0 * (1.0 - error / count)


@torch.no_grad()
def outcomes(model: OFA, batch: Batch, inputs: Inputs) -> Iterator[Outcome]:
    """Yield what leaving every stream after each of its layers but the last does."""
    device = model.decoder.layer_norm.weight.device
    images, source, words, targets = (
        part.to(device)
        for part in (batch.images, batch.source_tokens, batch.decoder_tokens, batch.target_tokens)
    )
    encoded = model.encode(images, source, inputs.decompose)
    states = model.decode(words, encoded)
    head, where = own_head(model, inputs.answer_ids), targets.ne(PAD_ID)
    full = _choices(head, states, where)
    yield from _of_decoder(states, words, where, full, head, inputs)
    for stream, depths in encoded.states.items():
        padding = _padding(stream, source, encoded)
        for layer in range(1, len(depths) - 1):
            early = model.decode(words, _leaving(model, encoded, stream, layer))
            same = _choices(head, early, where) == full
            work = Observation(layer, depths[layer - 1], depths[layer], padding)
            yield Outcome(stream, layer, features(work), _shares(same, where, len(images)))


def _of_decoder(
    states: Sequence[Tensor],
    words: Tensor,
    where: Tensor,
    full: Tensor,
    head: ModelHead,
    inputs: Inputs,
) -> Iterator[Outcome]:
    """A closed set's prompt is looked at whole, as its rule does; each generated word alone."""
    share = (where.nonzero()[:, 1] + 1) / (inputs.num_steps or 1)  # t / N of each word
    for layer in range(1, len(states) - 1):
        same = (_choices(head, states[: layer + 1], where) == full).float()
        before, after = states[layer - 1], states[layer]
        if inputs.answer_ids:
            row = features(Observation(layer, before, after, words.eq(PAD_ID)))
        else:
            row = features(Observation(layer, before[where][:, None], after[where][:, None]))
            row[:, -1] = share
        yield Outcome("decoder", layer, row, same)


def _choices(head: ModelHead, states: Sequence[Tensor], where: Tensor) -> Tensor:
    """Most probable class at each position that has a target, (M,), read from the last states."""
    return head(states[-1][where]).argmax(1)


def _leaving(model: OFA, encoded: EncoderOutput, stream: str, layer: int) -> EncoderOutput:
    left = [
        states[layer] if name == stream else states[-1] for name, states in encoded.states.items()
    ]
    return replace(encoded, hidden=model.encoder.join(left))


def _padding(stream: str, source: Tensor, encoded: EncoderOutput) -> Tensor | None:
    match stream:
        case "image":
            return None
        case "text":
            return source.eq(PAD_ID)
        case _:
            return encoded.padding_mask


def _shares(same: Tensor, where: Tensor, num_rows: int) -> Tensor:
    """Share of each row's words, of all its texts, that stay: (M,) flags of (B Q, T) -> (B,)."""
    row = where.nonzero()[:, 0] // (len(where) // num_rows)
    kept, words = (
        torch.zeros(num_rows, device=row.device).index_add_(0, row, each)
        for each in (same.float(), torch.ones_like(same, dtype=torch.float32))
    )
    return kept / words.clamp_min(1.0)
