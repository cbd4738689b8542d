"""The exit strip of one sample: the exit scores of every layer that ran, stream by stream and step
by step. Plain data for the terminal and the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

from mue_cli.errors import one_line

END = "</s>"
BEAM = "(beam)"
"""Name of a step in which the search went on for other hypotheses, after the answer had ended."""


def printable(text: str) -> str:
    """Return text without terminal commands: what is no letter, mark or space is escaped, so that
    two names that differ are not shown alike.
    """
    return one_line(text, longest=len(text))


@dataclass(frozen=True)
class LayerScores:
    """The exit scores of one walk through the layers, of a stream or of one decoding step.

    scores: after each layer that ran, from the first, as the rule compared them (Eq. 7-10); the
    layers behind them were skipped. num_layers: of the whole stack. threshold: the score to exceed;
    None where no score could end the walk.
    """

    scores: tuple[float, ...]
    num_layers: int
    threshold: float | None

    @property
    def exit_layer(self) -> int:
        return len(self.scores)

    @property
    def left_early(self) -> bool:
        return self.exit_layer < self.num_layers


@dataclass(frozen=True)
class ExitStrip:
    """The exit scores of one sample. encoder: by stream. decoder: one for each step.

    tokens: of the answer as text, spaces included, and END after a caption. A beam's hypotheses
    leave together, so a step's score is of them all; the search may go on for others after the
    answer ended, and there are then more steps than tokens. reduction: expected time reduction of
    this sample (Eq. 14), a fraction.
    """

    method: str
    encoder: Mapping[str, LayerScores]
    tokens: tuple[str, ...]
    decoder: tuple[LayerScores, ...]
    reduction: float

    @property
    def num_decoder_layers(self) -> int:
        return max(step.num_layers for step in self.decoder)

    def labelled_steps(self) -> list[tuple[str, LayerScores]]:
        """Return every decoding step with its name."""
        return list(zip(self.labels(), self.decoder, strict=True))

    def labels(self) -> list[str]:
        """Return a name for every decoding step: its token, with a plus where that continues a
        word, or BEAM.
        """
        names = [printable(_label(token)) for token in self.tokens]
        return names + [BEAM] * (len(self.decoder) - len(names))

    def as_json(self) -> dict[str, object]:
        """Return plain values: streams by name, steps in order; the token is null in a step after
        the answer's end.
        """
        steps = [
            {"token": token, **_plain(step)}
            for token, step in zip_longest(self.tokens, self.decoder)
        ]
        streams = {name: _plain(stream) for name, stream in self.encoder.items()}
        return {"streams": streams, "steps": steps}


def _label(token: str) -> str:
    if token == END or token.startswith(" "):
        return token.strip()
    return f"+{token}"


def _plain(layers: LayerScores) -> dict[str, object]:
    return {
        "exit_layer": layers.exit_layer,
        "num_layers": layers.num_layers,
        "threshold": layers.threshold,
        "exit_scores": list(layers.scores),
    }
