"""What samples spend and what the full model would: by Eq. 14's layers, by FLOPs, by milliseconds.

Letters: n samples, P parts of a cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mue_cli.cost.flops import full_depth_twin, trace_flops
from mue_cli.evaluation.latency_model import LatencyModel
from mue_cli.evaluation.predict import Predictor
from mue_cli.exits.methods import Method
from mue_cli.exits.trace import Trace

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spent:
    """spent, whole: (n, P), of each sample and of the full model on it; see `Measured`."""

    spent: Array
    whole: Array

    @property
    def reduction(self) -> float:
        return 1.0 - float((self.spent.sum(axis=0) / self.whole.sum(axis=0)).mean())


Spending = Callable[[Method, Sequence[Trace], Sequence[Trace]], Spent]
"""Costs of a method's traces; the full model's traces of the same samples stand beside them."""


def by_layers(num_encoder_layers: int, num_decoder_layers: int) -> Spending:
    """Eq. 14: encoder layers, a mean over the streams, and decoder layers of the answer's words."""

    def spend(method: Method, traces: Sequence[Trace], full: Sequence[Trace]) -> Spent:
        words = np.array([each.num_words for each in traces], dtype=np.float64)
        encoder = [np.mean(list(each.encoder_exits.values())) for each in traces]
        decoder = [sum(each.decoder_exits[: each.num_words]) for each in traces]
        spent = [np.array(encoder) / num_encoder_layers, np.array(decoder) / num_decoder_layers]
        return Spent(np.column_stack(spent), np.column_stack([np.ones(len(words)), words]))

    return spend


def by_flops(predictor: Predictor, image_size: int) -> Spending:
    """All operations that `cost.flops` counts, against the same words without exits."""
    config, classes = predictor.model.config, predictor.num_classes

    def spend(method: Method, traces: Sequence[Trace], full: Sequence[Trace]) -> Spent:
        spent = [trace_flops(each, config, image_size, method, classes).total for each in traces]
        twins = [full_depth_twin(each, config) for each in traces]
        whole = [trace_flops(each, config, image_size, num_classes=classes).total for each in twins]
        return Spent(np.array(spent)[:, None], np.array(whole)[:, None])

    return spend


def by_latency(model: LatencyModel) -> Spending:
    """Milliseconds that measured parts predict, against the full model's own words."""

    def spend(method: Method, traces: Sequence[Trace], full: Sequence[Trace]) -> Spent:
        spent, whole = (model.milliseconds(each)[:, None] for each in (traces, full))
        return Spent(spent, whole)

    return spend


def stream_weights(
    spending: Spending, method: Method, full: Sequence[Trace], streams: Sequence[str]
) -> dict[str, float]:
    """The reduction that saving all layers of a stream would be, by stream: from the full model's
    traces with that stream leaving after its first layer.
    """
    weights = {}
    for stream in streams:
        early = [_after_first(trace, stream) for trace in full]
        saved = _saved(early, full, stream)
        weights[stream] = spending(method, early, full).reduction / saved if saved else 0.0
    return weights


def _after_first(trace: Trace, stream: str) -> Trace:
    if stream == "decoder":
        return replace(trace, decoder_exits=(1,) * len(trace.decoder_exits))
    return replace(trace, encoder_exits={**trace.encoder_exits, stream: 1})


def _saved(early: Sequence[Trace], full: Sequence[Trace], stream: str) -> float:
    """Share of the stream's layers that leaving after the first saves."""

    def layers(traces: Sequence[Trace]) -> int:
        if stream == "decoder":
            return sum(sum(each.decoder_exits[: each.num_words]) for each in traces)
        return sum(each.encoder_exits[stream] for each in traces)

    return 1.0 - layers(early) / layers(full)
