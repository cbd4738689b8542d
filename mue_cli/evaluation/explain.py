"""What happened at every layer while a batch ran: a probe on every stream, read by sample later."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite

from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.exits.catalogue import encoder_streams
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.exits.similarity import SIMILARITY
from mue_cli.exits.threshold import ThresholdRule
from mue_cli.exits.trace import Trace
from mue_cli.inference.rows import Rows
from mue_cli.inference.walk import Probe
from mue_cli.reports.exit_strip import ExitStrip, LayerScores


class Recorder:
    """The exit scores of one batch, those that the method's rules compare; a layer that did not run
    has none. A stream without an exit score shows similarities.
    """

    def __init__(self, method: Method, num_encoder_layers: int, num_decoder_layers: int) -> None:
        self._method = method
        self._num_layers = (num_encoder_layers, num_decoder_layers)
        self._scores: dict[tuple[str, int], dict[int, list[float]]] = {}  # (stream, row) -> step
        self._thresholds: dict[tuple[str, int], float | None] = {}  # (stream, step)
        self.probes: Mapping[str, Probe] = {
            stream: partial(self._record, stream)
            for stream in (*encoder_streams(method.decompose), "decoder")
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

    def _record(self, stream: str, observation: Observation, rows: Rows) -> None:
        step = observation.step or 0
        self._thresholds[stream, step] = self._threshold(stream, observation)
        score = self._method.rule(stream).score or SIMILARITY
        for row, value in zip(rows.numbers, score(observation).tolist(), strict=True):
            self._scores.setdefault((stream, row), {}).setdefault(step, []).append(value)

    def _threshold(self, stream: str, observation: Observation) -> float | None:
        """Return what the rule compares with, None when no score can let a row go."""
        rule = self._method.rule(stream)
        if not isinstance(rule, ThresholdRule) or not rule.can_fire:
            return None
        threshold = rule.threshold_at(observation.step, observation.num_steps)
        return threshold if threshold <= rule.score.largest and isfinite(threshold) else None

    def _layer_scores(self, stream: str, row: int) -> tuple[LayerScores, ...]:
        num_layers = self._num_layers[stream == "decoder"]
        return tuple(
            LayerScores(tuple(scores), num_layers, self._thresholds[stream, step])
            for step, scores in sorted(self._scores[stream, row].items())
        )
