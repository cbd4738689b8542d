"""Slow and obvious versions of what the package does fast: one sample, no cache, no batch, biases
rebuilt every time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.model.attention import attend_to
from mue_cli.model.encoder import Stream, joint_stream, separate_streams
from mue_cli.model.ofa import OFA
from mue_cli.model.positions import Layout

BOS, PAD, EOS = 0, 1, 2

Judge = Callable[[list[list[list[float]]], float], bool]
"""Takes probabilities, layer by layer and hypothesis by hypothesis, and a threshold."""


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm()))


def encode_stream(model: OFA, stream: Stream, threshold: float) -> tuple[Tensor, int]:
    """Algorithm 1 on one sample without padding: (1, S, D) and its exit layer."""
    hidden = stream.hidden
    for i, layer in enumerate(model.encoder.layers):
        bias = model.encoder.absolute_bias(stream.layout) + model.encoder.relative_bias(
            i, stream.layout
        )
        after = layer(hidden, bias[None])
        close = cosine(hidden, after) > threshold
        hidden = after
        if close and i + 1 < len(model.encoder.layers):
            return hidden, i + 1
    return hidden, len(model.encoder.layers)


def encode(
    model: OFA, image: Tensor, tokens: list[int], thresholds: dict[str, float], decompose: bool
) -> tuple[Tensor, Layout, dict[str, int]]:
    """Encode one picture (3, I, I) and its unpadded tokens."""
    parts = model.encoder.embed(image[None], torch.tensor([tokens]))
    streams = (separate_streams if decompose else joint_stream)(*parts)
    walked = {
        stream.name: encode_stream(model, stream, thresholds.get(stream.name, math.inf))
        for stream in streams
    }
    hidden = model.encoder.join([walked[stream.name][0] for stream in streams])
    return (
        hidden,
        Layout(parts[0].layout.grid, len(tokens)),
        {name: exit_layer for name, (_, exit_layer) in walked.items()},
    )


@dataclass
class Line:
    """A hypothesis: its tokens, its score, and for every position what each layer was given and
    after which layer it left.
    """

    tokens: list[int]
    score: float = 0.0
    inputs: list[list[Tensor]] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)


class Decoder:
    """One sample's decoder; every step recomputes keys, values and biases of the whole prefix.

    skipped_layers: what a word shows to later words in layers that it skipped. With "project" they
    were given the state it left with; with "copy" the keys and values of its exit layer stand in;
    with "recompute" it simply ran on after its answer was read out.
    """

    def __init__(
        self,
        model: OFA,
        encoded: Tensor,
        layout: Layout,
        threshold: float,
        decay: Decay | None,
        num_steps: int,
        skipped_layers: str = "project",
        judge: Judge | None = None,
        read: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        self.judge, self.read = judge, read or (lambda state, layer: model.decoder.logits(state))
        self.model, self.encoded, self.layout, self.skipped_layers = (
            model,
            encoded,
            layout,
            skipped_layers,
        )
        self.threshold, self.decay, self.num_steps = threshold, decay, num_steps

    def threshold_at(self, step: int) -> float:
        if self.threshold > 1.0 or self.decay is None:
            return self.threshold
        if step <= self.decay.full_depth_steps:
            return math.inf
        return decayed_threshold(
            self.threshold, step, self.num_steps, self.decay.beta, self.decay.tau
        )

    def step(self, lines: list[Line]) -> tuple[list[Tensor], int]:
        """Run the last token of every line; return its log-probabilities per line and the exit
        layer they share.
        """
        decoder, num_layers = self.model.decoder, len(self.model.decoder.layers)
        states = [decoder.embed(torch.tensor([[line.tokens[-1]]]))[0, 0] for line in lines]
        for line in lines:
            line.inputs.append([])
            line.exits.append(num_layers)
        exit_layer, left_with = num_layers, states
        seen: list[list[list[float]]] = []
        for i in range(num_layers):
            before = torch.stack(states)
            for line, state in zip(lines, states, strict=True):
                line.inputs[-1].append(state)
            if exit_layer < num_layers and self.skipped_layers != "recompute":
                continue
            states = [self.layer(i, line) for line in lines]
            if exit_layer == num_layers:
                left_with = states
                if i + 1 < num_layers and self.leaves(
                    i + 1, before, states, seen, len(lines[0].tokens)
                ):
                    exit_layer = i + 1
        for line in lines:
            line.exits[-1] = exit_layer
        return [
            torch.log_softmax(self.read(state, exit_layer), 0) for state in left_with
        ], exit_layer

    def leaves(
        self,
        layer: int,
        before: Tensor,
        states: list[Tensor],
        seen: list[list[list[float]]],
        step: int,
    ) -> bool:
        """Ask the judge, who looks at the probabilities of all layers so far; without one, the
        cosine decides.
        """
        if self.judge is None:
            return cosine(before, torch.stack(states)) > self.threshold_at(step)
        seen.append([self.read(state, layer).softmax(0).tolist() for state in states])
        return self.judge(seen, self.threshold_at(step))

    def layer(self, i: int, line: Line) -> Tensor:
        decoder, layer = self.model.decoder, self.model.decoder.layers[i]
        length = len(line.inputs)
        self_bias = decoder.absolute_self_bias(length) + decoder.relative_self_bias(i, length)
        cross_bias = decoder.cross_bias(length, self.model.encoder.position_embedding(self.layout))
        return layer(
            line.inputs[-1][i][None, None],
            lambda attention, x: attention(x, *self.keys_values(i, line), self_bias[None, :, -1:]),
            attend_to(self.encoded, cross_bias[None, :, -1:]),
        )[0, 0]

    def keys_values(self, i: int, line: Line) -> tuple[Tensor, Tensor]:
        """Return what layer i (0-based) sees of every position, (1, H, t, K)."""
        shown = [min(i, left - 1) if self.skipped_layers == "copy" else i for left in line.exits]
        every = [
            self.model.decoder.layers[k].self_keys_values(inputs[k][None, None])
            for k, inputs in zip(shown, line.inputs, strict=True)
        ]
        return torch.cat([keys for keys, _ in every], 2), torch.cat(
            [values for _, values in every], 2
        )


def generate(
    decoder: Decoder,
    beam: int,
    max_tokens: int,
    min_tokens: int,
    no_repeat_ngram: int,
    length_penalty: float,
) -> tuple[list[tuple[list[int], float]], list[int]]:
    """Beam search spelled out: finished (tokens, score), best first, and the exit layer of every
    step.
    """
    lines, finished, exits = [Line([BOS])], [], []
    for position in range(max_tokens + 1):
        log_probs, exit_layer = decoder.step(lines)
        exits.append(exit_layer)
        candidates = []
        for number, (line, row) in enumerate(zip(lines, log_probs, strict=True)):
            banned = {PAD}
            if position < min_tokens:
                banned.add(EOS)
            if no_repeat_ngram:
                n = no_repeat_ngram
                ngrams = [tuple(line.tokens[k : k + n]) for k in range(len(line.tokens) - n + 1)]
                ending = tuple(line.tokens[len(line.tokens) - n + 1 :])
                banned |= {ngram[-1] for ngram in ngrams if ngram[:-1] == ending}
            for token in range(len(row)):
                allowed = token == EOS if position == max_tokens else token not in banned
                if allowed:
                    candidates.append((line.score + float(row[token]), number, token))
        candidates.sort(key=lambda candidate: -candidate[0])
        best = candidates[: 2 * beam]
        for score, number, token in best[:beam]:
            if token == EOS and len(finished) < beam:
                words = [*lines[number].tokens[1:], EOS]
                finished.append((words, score / len(words) ** length_penalty))
        if len(finished) == beam or position == max_tokens:
            break
        going_on = [candidate for candidate in best if candidate[2] != EOS][:beam]
        lines = [
            Line([*lines[n].tokens, token], score, list(lines[n].inputs), list(lines[n].exits))
            for score, n, token in going_on
        ]
    return sorted(finished, key=lambda hypothesis: -hypothesis[1]), exits


def plain_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Per row of (M, V): cross-entropy with OFA's smoothing, smoothing / (V - 1) to every wrong
    class.
    """
    log_probs = torch.log_softmax(logits, dim=1)
    wanted = log_probs.gather(1, targets[:, None]).squeeze(1)
    share = smoothing / (logits.shape[1] - 1)
    return -((1.0 - smoothing) * wanted + share * (log_probs.sum(1) - wanted))


def plain_layer_losses(states: list[Tensor], targets: Tensor, logits_of, smoothing=0.0) -> Tensor:
    """(N,): the mean over the positions that have a target, all logits of all layers at once."""
    where = targets.ne(PAD)
    return torch.stack(
        [
            plain_cross_entropy(logits_of(state[where]), targets[where], smoothing).mean()
            for state in states
        ]
    )
