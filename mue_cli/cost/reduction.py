"""Expected time reduction: the fraction of layers that the exits saved (Eq. 14).

Eq. 14 weighs encoder and decoder alike and knows only layers: no ResNet, no output head, no clock.
`cost.flops` and `cost.latency` do. Letters of the paper: n_E exit layer of the encoder, N_E its
layers, w_i the number of words that left the decoder at layer n_D,i of N_D.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from mue_cli.exits.trace import Trace


@dataclass(frozen=True)
class Reduction:
    """What the exits of some traces saved, as fractions in [0, 1): 0 when every layer ran.

    expected: Eq. 14, a sample's n_E being the mean of its streams' exit layers.
    expected_token_weighted: the same with the streams weighted by their tokens, so that 900 patches
    count for more than 8 words. encoder_layers: mean exit layer of each stream. decoder_layers:
    mean exit layer of a word.
    """

    expected: float
    expected_token_weighted: float
    encoder_layers: Mapping[str, float]
    decoder_layers: float
    num_samples: int
    num_words: int


def expected_time_reduction(
    traces: Sequence[Trace], num_encoder_layers: int, num_decoder_layers: int
) -> Reduction:
    """Compute Eq. 14 over the traces: 1 - (n_E / N_E + sum_i w_i n_D,i / (N_D sum_i w_i)) / 2.

    n_E is a mean over samples, n_D a mean over all their words. Raises ValueError without traces,
    without words, or when streams differ.
    """
    words = [
        exit_layer for trace in traces for exit_layer in trace.decoder_exits[: trace.num_words]
    ]
    if not words:
        raise ValueError("Eq. 14 needs at least one trace with at least one word")
    encoder_layers = _mean_exits(traces)
    decoder_fraction = fmean(words) / num_decoder_layers

    def reduction(encoder_exit: float) -> float:
        return 1.0 - (encoder_exit / num_encoder_layers + decoder_fraction) / 2.0

    return Reduction(
        expected=reduction(fmean(encoder_layers.values())),
        expected_token_weighted=reduction(fmean(_token_weighted_exit(trace) for trace in traces)),
        encoder_layers=encoder_layers,
        decoder_layers=fmean(words),
        num_samples=len(traces),
        num_words=len(words),
    )


def costs_against(costs: Mapping[str, float], full: Mapping[str, float]) -> dict[str, float]:
    """Return a record's costs with its reductions against another full model, as a 4+4 model's are
    against 6+6 layers.

    Eq. 14 with the other model's N_E and N_D; FLOPs from both models' own. "measured" is left out:
    two evaluations at different moments are no measurement.
    """
    reductions = {
        name: value for name, value in costs.items() if name not in ("measured", "full_latency_ms")
    }
    reductions |= {
        name: _against(costs[name], costs, full)
        for name in ("expected", "expected_token_weighted")
        if name in costs
    }
    return reductions | {"flops": 1.0 - costs["gflops_per_sample"] / full["gflops_per_sample"]}


def _against(reduction: float, costs: Mapping[str, float], full: Mapping[str, float]) -> float:
    """Solve Eq. 14 for n_E, and take it again with the full model's N_E and N_D."""
    decoder_exit = costs["decoder_layers"]
    encoder_exit = costs["num_encoder_layers"] * (
        2.0 * (1.0 - reduction) - decoder_exit / costs["num_decoder_layers"]
    )
    return (
        1.0
        - (encoder_exit / full["num_encoder_layers"] + decoder_exit / full["num_decoder_layers"])
        / 2.0
    )


def _mean_exits(traces: Sequence[Trace]) -> dict[str, float]:
    streams = tuple(traces[0].encoder_exits)
    for trace in traces:
        if set(trace.encoder_exits) != set(streams):
            raise ValueError(
                f"trace {trace.sample_id} has streams {sorted(trace.encoder_exits)}, "
                f"the first one {sorted(streams)}"
            )
    return {stream: fmean(trace.encoder_exits[stream] for trace in traces) for stream in streams}


def _token_weighted_exit(trace: Trace) -> float:
    total = sum(trace.encoder_tokens.values())
    return (
        sum(
            trace.encoder_tokens[stream] * exit_layer
            for stream, exit_layer in trace.encoder_exits.items()
        )
        / total
    )
