"""What the rules saw while a batch ran: a probe on every stream, read out per sample afterwards."""

from collections.abc import Mapping, Sequence
from functools import partial

from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.exits.similarity import similarity
from mue_cli.exits.threshold import ThresholdRule
from mue_cli.exits.trace import Trace
from mue_cli.inference.walk import Probe, Rows
from mue_cli.reports.exit_strip import ExitStrip, LayerScores


class Recorder:
    """Records one batch. Every similarity is of the very states that the rule compared; a layer
    that did not run has none.
    """

    def __init__(self, method: Method, num_encoder_layers: int, num_decoder_layers: int) -> None:
        self._method = method
        self._num_layers = (num_encoder_layers, num_decoder_layers)
        self._seen: dict[
            tuple[str, int], dict[int, list[float]]
        ] = {}  # (stream, row) -> step -> similarities
        self._thresholds: dict[tuple[str, int], float | None] = {}  # (stream, step)
        streams = ("image", "text") if method.decompose else ("joint",)
        self.probes: Mapping[str, Probe] = {
            stream: partial(self._see, stream) for stream in (*streams, "decoder")
        }

    def explain(self, row: int, trace: Trace, tokens: Sequence[str]) -> ExitStrip:
        """Return what happened to a row of the batch. trace: its own. tokens: of its answer, as
        text.
        """
        return ExitStrip(
            self._method.name,
            {stream: self._layer_scores(stream, row)[0] for stream in trace.encoder_exits},
            tuple(tokens),
            self._layer_scores("decoder", row),
            expected_time_reduction([trace], *self._num_layers).expected,
        )

    def _see(self, stream: str, observation: Observation, rows: Rows) -> None:
        step = observation.step or 0
        self._thresholds[stream, step] = self._threshold(stream, observation)
        seen = similarity(observation.before, observation.after, observation.padding_mask).tolist()
        for row, value in zip(rows.numbers, seen, strict=True):
            self._seen.setdefault((stream, row), {}).setdefault(step, []).append(value)

    def _threshold(self, stream: str, observation: Observation) -> float | None:
        """Return what the rule compares with, None when no similarity can let a row go."""
        rule = self._method.rule(stream)
        if not isinstance(rule, ThresholdRule) or rule.looks_at != "states" or not rule.can_fire:
            return None
        threshold = rule.threshold_at(observation.step, observation.num_steps)
        return threshold if threshold <= 1.0 else None

    def _layer_scores(self, stream: str, row: int) -> tuple[LayerScores, ...]:
        num_layers = self._num_layers[stream == "decoder"]
        steps = sorted(self._seen[stream, row].items())
        return tuple(
            LayerScores(tuple(seen), num_layers, self._thresholds[stream, step])
            for step, seen in steps
        )
