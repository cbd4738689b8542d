"""A method at work: a rule per stream and an exit head, built from its row of the catalogue.

Streams: "image" and "text" with decomposition (Eq. 3), "joint" without, and "decoder".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal

from mue_cli.exits.catalogue import FULL, MethodSpec
from mue_cli.exits.decay import Decay
from mue_cli.exits.heads import ExitHead, SharedHead
from mue_cli.exits.observation import Rule
from mue_cli.exits.score import ExitScore
from mue_cli.exits.static import NeverRule, StaticRule
from mue_cli.exits.threshold import ThresholdRule

SkippedPolicy = Literal["project", "recompute", "copy"]
"""Where a word's keys and values come from in decoder layers that it skipped, once a later word
needs them.
"""


@dataclass(frozen=True)
class Method:
    """A rule per stream and an exit head.

    decompose: cut the encoder's input into an image and a text stream. rules: by stream; absent
    means never. head: reads the states out with which rows left.
    """

    name: str
    decompose: bool
    rules: Mapping[str, Rule] = field(default_factory=dict)
    skipped_layers: SkippedPolicy = "project"
    head: ExitHead = field(default_factory=SharedHead)

    def rule(self, stream: str) -> Rule:
        """Return the rule of a stream."""
        return self.rules.get(stream, NeverRule())

    def score(self, stream: str) -> ExitScore | None:
        """Return the exit score that is computed in a stream, None where nothing is."""
        rule = self.rule(stream)
        return rule.score if rule.can_fire else None


def exit_score(spec: MethodSpec) -> ExitScore:
    """Return the exit score that a row of the catalogue names. Raises ValueError without one."""
    if spec.score is None:
        raise ValueError(f"the method {spec.name} has no exit score")
    module, _, name = spec.score.partition(":")
    score: ExitScore = getattr(import_module(module), name)
    return score


def build(
    spec: MethodSpec,
    thresholds: Mapping[str, float],
    decompose: bool,
    decay: Decay | None = None,
    skipped_layers: SkippedPolicy = "project",
    head: ExitHead | None = None,
) -> Method:
    """Return a method with its thresholds.

    thresholds: by stream, in the unit of spec.threshold; a stream that is absent never leaves.
    decay: of the decoder's threshold where spec.decays; None for closed-set answers, where there is
    only one step. head: the model's own when None.
    """
    reads = head or SharedHead()

    def rule(stream: str, threshold: float) -> Rule:
        if spec.threshold == "layer":
            return StaticRule(int(threshold))
        decays = spec.decays and stream == "decoder"
        score = exit_score(spec).of(reads, stream)
        return ThresholdRule(threshold, score, decay if decays else None)

    rules = {stream: rule(stream, threshold) for stream, threshold in thresholds.items()}
    return Method(spec.name, decompose, rules, skipped_layers, reads)


def full(decompose: bool) -> Method:
    """Return the method that runs every layer."""
    return build(FULL, {}, decompose)
