"""The decoder at inference: one step of generation, or one pass over a prompt, each a walk over the
layers (Eq. 10).

Shape letters: B rows, Q hypotheses, T prompt positions, S encoder tokens, D embed.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mue_cli.exits.heads import ExitHead, ModelHead
from mue_cli.exits.methods import Method, SkippedPolicy
from mue_cli.inference.cache import CrossCache, Places, SelfCache
from mue_cli.inference.encode import Encoded
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.skipped import LeftStates, SkippedLayers, copy, project, recompute
from mue_cli.inference.walk import Probe, Rows, Walked, walk
from mue_cli.model.encoder import with_padding
from mue_cli.model.layers import KeysValues
from mue_cli.model.ofa import OFA


class Generation:
    """The decoder's side of generating for one batch: caches, and one step at a time."""

    def __init__(
        self,
        model: OFA,
        tables: PositionTables,
        method: Method,
        encoded: Encoded,
        num_hypotheses: int,
        num_steps: int,
        probe: Probe | None = None,
    ) -> None:
        self._model, self._tables, self._rule, self._encoded, self._probe = (
            model,
            tables,
            method.rule("decoder"),
            encoded,
            probe,
        )
        self._read_out = partial(_read_hypotheses, method.head, own_head(model))
        self._num_rows, self._num_steps = len(encoded.hidden), num_steps
        self._layers = model.decoder.stack()
        self._self_cache = SelfCache(len(self._layers), self._num_rows, num_hypotheses, num_steps)
        self._cross_cache = CrossCache(self._layers, encoded.hidden)
        self._states = LeftStates(self._num_rows, num_hypotheses, num_steps)
        self._skipped = self._skipped_layers(method.skipped_layers) if self._rule.can_fire else None

    def step(self, tokens: Tensor, rows: Sequence[int], position: int) -> Walked:
        """Run the last tokens (B', Q) of the running rows, at a 0-based position; states come back
        as (B', Q, D), logits as (B', Q, V).

        A row's hypotheses are queries of one sample: they share its cross keys and values and leave
        together.
        """
        cross_bias = self._tables.cross_bias(self._num_steps, self._encoded.layout)[
            :, position : position + 1
        ]

        def apply(layer: int, hidden: Tensor, running: Rows) -> Tensor:
            again = self._skipped and self._skipped.enter(layer, running.numbers, position, hidden)
            if again:
                return self._run_beside(layer, hidden, running.numbers, position, again)

            def remember(keys: Tensor, values: Tensor) -> KeysValues:
                return self._self_cache.extend(layer, running.numbers, position, keys, values)

            return self._layers[layer](
                hidden,
                remember,
                self._cross_cache.get(layer, running.numbers),
                self._tables.decoder_self_bias(layer, position + 1)[
                    None, :, position : position + 1
                ],
                with_padding(cross_bias, _padding_of(self._encoded, running)),
                num_hypotheses=hidden.shape[1],
            )

        walked = walk(
            self._model.decoder.embed(tokens),
            len(self._layers),
            apply,
            self._rule,
            rows=Rows(tuple(rows), self._num_rows),
            step=position + 1,
            num_steps=self._num_steps,
            probe=self._probe,
            read_out=self._read_out,
        )
        if self._skipped is not None:
            self._skipped.leave(rows, position, walked)
        return walked

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Continue from other hypotheses; see SelfCache.reorder."""
        self._self_cache.reorder(rows, sources, length)
        if self._skipped is not None:
            self._skipped.reorder(rows, sources, length)

    def _skipped_layers(self, policy: SkippedPolicy) -> SkippedLayers:
        cache, layers, states = self._self_cache, self._layers, self._states
        match policy:
            case "project":
                return SkippedLayers(
                    len(layers), self._num_rows, project(cache, layers, states), states
                )
            case "recompute":
                return SkippedLayers(
                    len(layers),
                    self._num_rows,
                    recompute(len(layers), project(cache, layers, states)),
                    states,
                )
            case "copy":
                return SkippedLayers(len(layers), self._num_rows, copy(cache), None)

    def _run_beside(
        self, layer: int, hidden: Tensor, rows: Sequence[int], position: int, again: Places
    ) -> Tensor:
        """Run a layer on the new position's states (B', Q, D) and on earlier places that skipped
        it; its weights are read once for all.
        """
        places = again + Places.of(
            [(row, position) for row in rows], hidden.shape[1], hidden.device
        )

        def remember(keys: Tensor, values: Tensor) -> KeysValues:
            each = (len(places), places.num_hypotheses)
            new_keys, new_values = (
                new[:, :, 0].unflatten(0, each).transpose(1, 2) for new in (keys, values)
            )  # -> (n, H, Q, K)
            self._self_cache.write(layer, places, new_keys, new_values)
            return self._self_cache.before(layer, places, position + 1)

        self_bias = self._tables.decoder_self_bias(layer, position + 1)[
            :, places.positions
        ].transpose(0, 1)  # (H, n, T) -> (n, H, T)
        cross_bias = self._tables.cross_bias(self._num_steps, self._encoded.layout)[
            :, places.positions
        ].transpose(0, 1)[:, :, None]
        if self._encoded.padding_mask is not None:
            cross_bias = cross_bias.masked_fill(
                self._encoded.padding_mask[places.rows][:, None, None], float("-inf")
            )
        after = self._layers[layer](
            torch.cat([self._states.at(again), hidden]),
            remember,
            self._cross_cache.get(layer, places.row_numbers),
            self_bias.repeat_interleave(places.num_hypotheses, 0)[:, :, None],  # (n Q, H, 1, T)
            cross_bias,
            places.num_hypotheses,
        )
        self._states.put(again, after[: len(again)])
        return after[len(again) :]


def decode_prompt(
    model: OFA,
    tables: PositionTables,
    method: Method,
    encoded: Encoded,
    tokens: Tensor,
    padding_mask: Tensor,
    answer_ids: Sequence[int],
    probe: Probe | None = None,
) -> Walked:
    """Run a whole prompt (B, T) in one causal pass and read out its end, (B, 1, A), for the A
    tokens that may answer.

    padding_mask (B, T) keeps padding out of the rule's view. Padding stands on the right, so causal
    attention never sees it.
    """
    head, ends = own_head(model, answer_ids), (~padding_mask).sum(1) - 1

    def read_out(hidden: Tensor, exit_layers: Sequence[int], rows: Rows) -> Tensor:
        last = hidden[torch.arange(len(hidden), device=hidden.device), rows.take(ends)]
        return method.head(last[:, None], exit_layers, head)

    length = tokens.shape[1]
    layers = model.decoder.stack()
    cross_cache = CrossCache(layers, encoded.hidden)
    cross_bias = tables.cross_bias(length, encoded.layout)

    def apply(layer: int, hidden: Tensor, running: Rows) -> Tensor:
        return layers[layer](
            hidden,
            lambda keys, values: (keys, values),
            cross_cache.get(layer, running.numbers),
            tables.decoder_self_bias(layer, length)[None],
            with_padding(cross_bias, _padding_of(encoded, running)),
        )

    return walk(
        model.decoder.embed(tokens),
        len(layers),
        apply,
        method.rule("decoder"),
        padding_mask=padding_mask,
        probe=probe,
        read_out=read_out,
    )


def own_head(model: OFA, token_ids: Sequence[int] | None = None) -> ModelHead:
    """Return the model's own head, of the whole vocabulary or of a few tokens."""
    return ModelHead(model.decoder.layer_norm, model.decoder.projection(token_ids))


def _read_hypotheses(
    exit_head: ExitHead, head: ModelHead, hidden: Tensor, exit_layers: Sequence[int], rows: Rows
) -> Tensor:
    return exit_head(hidden, exit_layers, head)


def _padding_of(encoded: Encoded, rows: Rows) -> Tensor | None:
    return None if encoded.padding_mask is None else rows.take(encoded.padding_mask)
