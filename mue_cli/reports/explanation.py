"""What happened to one sample, layer by layer: plain data for the terminal and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

END = "</s>"
BEAM = "(beam)"
"""Name of a step in which the search went on for other hypotheses, after the answer had ended."""


def printable(text: str) -> str:
    """Return text that does nothing but show: what is no letter, mark or space, such as a
    terminal's commands, becomes U+FFFD.
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


@dataclass(frozen=True)
class Passage:
    """One walk through the layers, of a stream or of one decoding step.

    similarities: after each layer that ran, from the first (Eq. 7-10), as the rule saw them; layers
    behind them were skipped. num_layers: how many there are. threshold: what a similarity had to
    exceed; None where no similarity could end the walk.
    """

    similarities: tuple[float, ...]
    num_layers: int
    threshold: float | None

    @property
    def exit_layer(self) -> int:
        return len(self.similarities)

    @property
    def left_early(self) -> bool:
        return self.exit_layer < self.num_layers


@dataclass(frozen=True)
class Explanation:
    """encoder: by stream. tokens: the answer's as text, spaces included, and END after a caption.
    decoder: one passage per step.

    A beam's hypotheses leave together, so a step's similarity is of them all; the search may go on
    for others after the answer ended, and there are then more steps than tokens. reduction:
    expected time reduction of this sample (Eq. 14), a fraction.
    """

    method: str
    encoder: Mapping[str, Passage]
    tokens: tuple[str, ...]
    decoder: tuple[Passage, ...]
    reduction: float

    def labels(self) -> list[str]:
        """Return a name for every decoding step: the token it emitted, with a plus where it
        continues a word, or BEAM.
        """
        names = [printable(_label(token)) for token in self.tokens]
        return names + [BEAM] * (len(self.decoder) - len(names))

    def as_json(self) -> dict[str, object]:
        """Return plain values: streams by name, steps in order; the token is null where the search
        went on without the answer.
        """
        steps = [
            {"token": token, **_plain(passage)}
            for token, passage in zip_longest(self.tokens, self.decoder)
        ]
        return {
            "streams": {name: _plain(passage) for name, passage in self.encoder.items()},
            "steps": steps,
        }


def _label(token: str) -> str:
    if token == END or token.startswith(" "):
        return token.strip()
    return f"+{token}"


def _plain(passage: Passage) -> dict[str, object]:
    return {
        "exit_layer": passage.exit_layer,
        "num_layers": passage.num_layers,
        "threshold": passage.threshold,
        "similarities": list(passage.similarities),
    }
