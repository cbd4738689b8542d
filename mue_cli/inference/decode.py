"""The decoder at inference: one step of generation, or one pass over a prompt, each a walk over the
layers (Eq. 10).

Shape letters: B rows, Q hypotheses, T prompt positions, S encoder tokens, D embed, n places.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mue_cli.exits.heads import ExitHead, ModelHead
from mue_cli.exits.methods import Method
from mue_cli.inference.attention import attend_to_parts, attend_to_words
from mue_cli.inference.cache import CrossCache, Places, SelfCache
from mue_cli.inference.cuda.recorder import Recorder
from mue_cli.inference.cuda.rule import recorded_rule
from mue_cli.inference.encode import Encoded
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.rows import Rows
from mue_cli.inference.skipped import LeftStates, skipped_layers
from mue_cli.inference.walk import Probe, WalkOutput, walk
from mue_cli.model.attention import attend_to
from mue_cli.model.backbone import Backbone
from mue_cli.model.encoder import with_padding
from mue_cli.model.layers import KeysValues


class Generation:
    """The decoder's side of generating for one batch: caches, and one step at a time."""

    def __init__(
        self,
        model: Backbone,
        tables: PositionTables,
        method: Method,
        encoded: Encoded,
        num_hypotheses: int,
        num_steps: int,
        probe: Probe | None = None,
    ) -> None:
        self._decoder, self._tables, self._encoded, self._probe = (
            model.decoder,
            tables,
            encoded,
            probe,
        )
        self._rule = method.rule("decoder")
        self._recorder = tables.recorder if encoded.padding_mask is None and not probe else None
        self._apply_head = partial(_read_hypotheses, method.head, own_head(model))
        self._layers = model.decoder.stack()
        self._num_rows, self._num_steps = len(encoded.hidden), num_steps
        sizes = (self._num_rows, num_hypotheses, num_steps)
        self._self_cache, self._cross_cache = self._caches(sizes)
        self._states = LeftStates(*sizes)
        self._skipped = (
            skipped_layers(method.skipped_layers, self._self_cache, self._layers, self._states)
            if self._rule.can_fire
            else None
        )

    def step(self, tokens: Tensor, rows: Sequence[int], position: int) -> WalkOutput:
        """Run the last tokens (B', Q) of the running rows, at a 0-based position; states come back
        as (B', Q, D), logits as (B', Q, V).

        A row's hypotheses are queries of one sample: they share its cross keys and values and leave
        together.
        """
        output = walk(
            self._decoder.embed(tokens),
            len(self._layers),
            partial(self._apply, position),
            recorded_rule(self._rule, "decoder", self._num_rows, self._recorder),
            rows=Rows(tuple(rows), self._num_rows),
            step=position + 1,
            num_steps=self._num_steps,
            probe=self._probe,
            apply_head=self._apply_head,
        )
        if self._skipped is not None:
            self._skipped.leave(rows, position, output)
        return output

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Continue from other hypotheses; see SelfCache.reorder."""
        self._self_cache.reorder(rows, sources, length)
        if self._skipped is not None:
            self._skipped.reorder(rows, sources, length)

    def _apply(self, position: int, layer: int, hidden: Tensor, running: Rows) -> Tensor:
        rows = running.numbers
        again = self._skipped and self._skipped.enter(layer, rows, position, hidden)
        if again:
            return self._apply_beside(position, layer, hidden, rows, again)
        if self._recorder is not None and running.are_all:
            return self._apply_recorded(self._recorder, position, layer, hidden)
        cross_bias = self._cross_bias()[:, position : position + 1]
        self_bias = self._tables.decoder_self_bias(layer, position + 1)
        return self._layers[layer](
            hidden,
            attend_to_words(
                partial(self._self_cache.extend, layer, rows, position),
                self_bias[None, :, position : position + 1],
            ),
            attend_to_parts(
                self._cross_cache.get(layer, rows),
                with_padding(cross_bias, _padding_of(self._encoded, running)),
            ),
        )

    def _apply_recorded(
        self, recorder: Recorder, position: int, layer: int, hidden: Tensor
    ) -> Tensor:
        """Run a layer on all rows, (B, Q, D), as one program for every position."""
        cross = self._cross_cache.get(layer, range(self._num_rows))
        self_bias = self._tables.decoder_self_bias(layer, self._num_steps)
        cross_bias = self._cross_bias()

        def apply(x: Tensor, here: Tensor) -> Tensor:
            return self._layers[layer](
                x,
                attend_to_words(
                    partial(self._self_cache.put, layer, here),
                    self_bias[None].index_select(2, here),
                ),
                attend_to_parts(cross, cross_bias[None].index_select(2, here)),
            )

        where = recorder.kept(
            ("positions", self._num_steps),
            lambda: torch.arange(self._num_steps, device=hidden.device),
        )
        name = ("decoder layer", layer, self._shapes)
        return recorder(name, apply, hidden, where[position : position + 1])

    def _caches(self, sizes: tuple[int, int, int]) -> tuple[SelfCache, CrossCache]:
        """Return new caches, or those that recorded programs read, to be written anew."""
        num_layers, encoder_output = len(self._layers), self._encoded.hidden
        if self._recorder is None:
            return SelfCache(num_layers, *sizes), CrossCache(self._layers, encoder_output)
        self._shapes = (*sizes, self._encoded.layout)
        own = self._recorder.kept(
            ("self cache", self._shapes), lambda: SelfCache(num_layers, *sizes)
        )
        storage: list[KeysValues | None] = self._recorder.kept(
            ("cross cache", self._shapes), lambda: [None] * num_layers
        )
        return own, CrossCache(self._layers, encoder_output, storage)

    def _apply_beside(
        self, position: int, layer: int, hidden: Tensor, rows: Sequence[int], again: Places
    ) -> Tensor:
        """Run a layer on the new position's states (B', Q, D) and on earlier places that skipped
        it; its weights are read once for all.
        """
        here = [(row, position) for row in rows]
        places = again + Places.of(here, hidden.shape[1], hidden.device)
        after = self._layers[layer](
            torch.cat([self._states.at(again), hidden]),
            attend_to_words(
                partial(self._extend_places, layer, places, position + 1),
                self._self_bias_at(layer, places, position + 1),
            ),
            attend_to_parts(
                self._cross_cache.get(layer, places.row_numbers), self._cross_bias_at(places)
            ),
        )
        self._states.put(again, after[: len(again)])
        return after[len(again) :]

    def _extend_places(
        self, layer: int, places: Places, length: int, keys: Tensor, values: Tensor
    ) -> KeysValues:
        each = (len(places), places.num_hypotheses)
        new = [part[:, :, 0].unflatten(0, each).transpose(1, 2) for part in (keys, values)]
        self._self_cache.write(layer, places, *new)  # (n, H, Q, K)
        return self._self_cache.before(layer, places, length)

    def _self_bias_at(self, layer: int, places: Places, length: int) -> Tensor:
        bias = self._tables.decoder_self_bias(layer, length)[:, places.positions]
        bias = bias.transpose(0, 1)  # (H, n, T) -> (n, H, T)
        return bias.repeat_interleave(places.num_hypotheses, 0)[:, :, None]  # (n Q, H, 1, T)

    def _cross_bias_at(self, places: Places) -> Tensor:
        bias = self._cross_bias()[:, places.positions].transpose(0, 1)[:, :, None]  # (n, H, 1, S)
        if self._encoded.padding_mask is None:
            return bias
        padded = self._encoded.padding_mask[places.rows][:, None, None]
        return bias.masked_fill(padded, float("-inf"))

    def _cross_bias(self) -> Tensor:
        return self._tables.cross_bias(self._num_steps, self._encoded.layout)


def decode_prompt(
    model: Backbone,
    tables: PositionTables,
    method: Method,
    encoded: Encoded,
    tokens: Tensor,
    padding_mask: Tensor,
    answer_ids: Sequence[int],
    probe: Probe | None = None,
) -> WalkOutput:
    """Run a whole prompt (B, T) in one causal pass and read out its end, (B, 1, A), for the A
    tokens that may answer.

    padding_mask (B, T) keeps padding out of the rule's view. Padding stands on the right, so causal
    attention never sees it.
    """
    head, ends = own_head(model, answer_ids), (~padding_mask).sum(1) - 1

    def apply_head(hidden: Tensor, exit_layers: Sequence[int], rows: Rows) -> Tensor:
        last = hidden[torch.arange(len(hidden), device=hidden.device), rows.take(ends)]
        return method.head(last[:, None], exit_layers, head)

    length, layers = tokens.shape[1], model.decoder.stack()
    cross_cache = CrossCache(layers, encoded.hidden)
    cross_bias = tables.cross_bias(length, encoded.layout)

    def apply(layer: int, hidden: Tensor, running: Rows) -> Tensor:
        return layers[layer](
            hidden,
            attend_to(None, tables.decoder_self_bias(layer, length)[None]),
            attend_to_parts(
                cross_cache.get(layer, running.numbers),
                with_padding(cross_bias, _padding_of(encoded, running)),
            ),
        )

    return walk(
        model.decoder.embed(tokens),
        len(layers),
        apply,
        method.rule("decoder"),
        padding_mask=padding_mask,
        probe=probe,
        apply_head=apply_head,
    )


def own_head(model: Backbone, token_ids: Sequence[int] | None = None) -> ModelHead:
    """Return the model's own head, of the whole vocabulary or of a few tokens."""
    return ModelHead(model.decoder.layer_norm, model.decoder.projection(token_ids))


def _read_hypotheses(
    exit_head: ExitHead, head: ModelHead, hidden: Tensor, exit_layers: Sequence[int], rows: Rows
) -> Tensor:
    return exit_head(hidden, exit_layers, head)


def _padding_of(encoded: Encoded, rows: Rows) -> Tensor | None:
    return None if encoded.padding_mask is None else rows.take(encoded.padding_mask)
