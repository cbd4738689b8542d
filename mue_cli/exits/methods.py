"""A method is a rule per stream; every method reads its state out through the model's shared head.

Streams: "image" and "text" with decomposition (Eq. 3), "joint" without, and "decoder".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mue_cli.exits.observation import Rule
from mue_cli.exits.similarity import Decay, SimilarityRule
from mue_cli.exits.static import NeverRule, StaticRule

SkippedPolicy = Literal["project", "recompute", "copy"]
"""Where a word's keys and values come from in decoder layers that it skipped, once a later word needs them."""


@dataclass(frozen=True)
class Method:
    """decompose: cut the encoder's input into an image and a text stream. rules: by stream; absent means never."""

    name: str
    decompose: bool
    rules: Mapping[str, Rule] = field(default_factory=dict)
    skipped_layers: SkippedPolicy = "project"

    def rule(self, stream: str) -> Rule:
        """Return the rule of a stream."""
        return self.rules.get(stream, NeverRule())


def full(decompose: bool) -> Method:
    """Return the method that runs every layer."""
    return Method("full", decompose)


def static(exit_layers: Mapping[str, int], decompose: bool, skipped_layers: SkippedPolicy = "project") -> Method:
    """Return the method that leaves each stream after a fixed layer."""
    return Method("static", decompose, {stream: StaticRule(layer) for stream, layer in exit_layers.items()}, skipped_layers)


def mue(thresholds: Mapping[str, float], decompose: bool, decay: Decay | None, skipped_layers: SkippedPolicy = "project") -> Method:
    """Return You Need Multiple Exiting (Tang et al., CVPR 2023): similarity rules, the decoder's with decay.

    thresholds: by stream. decay: None for closed-set answers, where there is only one step.
    """
    rules: dict[str, Rule] = {
        stream: SimilarityRule(threshold, decay if stream == "decoder" else None) for stream, threshold in thresholds.items()
    }
    return Method("mue", decompose, rules, skipped_layers)
