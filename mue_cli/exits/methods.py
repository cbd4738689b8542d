"""A method is a rule per stream and a readout.

| method | image / text / joint rule | decoder rule | readout |
| --- | --- | --- | --- |
| full | never | never | shared head |
| static | fixed layer | fixed layer | shared head |
| mue | similarity (Eq. 7-9) | similarity (Eq. 10) with decay (Eq. 11) | shared head |
| deebert | never | entropy | a head per layer, trained on the frozen model |
| pabee | never | patience | a head per layer, trained with the model |
| deecap | never | confidence | imitation network |
| calm | never | softmax margin with decay | shared head |
| oracle | found afterwards | found afterwards | shared head |

Streams: "image" and "text" with decomposition (Eq. 3), "joint" without, and "decoder".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mue_cli.exits.confidence import confidence_rule, margin_rule
from mue_cli.exits.decay import Decay
from mue_cli.exits.entropy import entropy_rule
from mue_cli.exits.heads import Readout, SharedHead
from mue_cli.exits.observation import Rule
from mue_cli.exits.patience import PatienceRule
from mue_cli.exits.similarity import similarity_rule
from mue_cli.exits.static import NeverRule, StaticRule

SkippedPolicy = Literal["project", "recompute", "copy"]
"""Where a word's keys and values come from in decoder layers that it skipped, once a later word
needs them.
"""


@dataclass(frozen=True)
class Method:
    """decompose: cut the encoder's input into an image and a text stream. rules: by stream; absent
    means never.
    """

    name: str
    decompose: bool
    rules: Mapping[str, Rule] = field(default_factory=dict)
    skipped_layers: SkippedPolicy = "project"
    readout: Readout = field(default_factory=SharedHead)

    def rule(self, stream: str) -> Rule:
        """Return the rule of a stream."""
        return self.rules.get(stream, NeverRule())

    @property
    def unasked_steps(self) -> int:
        """Return how many decoding steps, at the start, are never cut short, so that the decoder's
        rule is not asked.
        """
        decay = getattr(self.rule("decoder"), "decay", None)
        return decay.full_depth_steps if isinstance(decay, Decay) else 0

    def asked(self, looks_at: str) -> tuple[str, ...]:
        """Return the streams whose rule looks at states, or at logits, and can fire."""
        return tuple(
            stream
            for stream, rule in self.rules.items()
            if rule.can_fire and rule.looks_at == looks_at
        )


def full(decompose: bool) -> Method:
    """Return the method that runs every layer."""
    return Method("full", decompose)


def oracle(decompose: bool) -> Method:
    """Return the full model under the oracle's name: its exits are found afterwards
    (mue_cli/evaluation/oracle.py), no rule knows them.
    """
    return Method("oracle", decompose, skipped_layers="recompute")


def static(
    exit_layers: Mapping[str, int], decompose: bool, skipped_layers: SkippedPolicy = "project"
) -> Method:
    """Return the method that leaves each stream after a fixed layer."""
    return Method(
        "static",
        decompose,
        {stream: StaticRule(layer) for stream, layer in exit_layers.items()},
        skipped_layers,
    )


def mue(
    thresholds: Mapping[str, float],
    decompose: bool,
    decay: Decay | None,
    skipped_layers: SkippedPolicy = "project",
) -> Method:
    """Return You Need Multiple Exiting (Tang et al., CVPR 2023): similarity rules, the decoder's
    with decay.

    thresholds: by stream. decay: None for closed-set answers, where there is only one step.
    """
    rules: dict[str, Rule] = {
        stream: similarity_rule(threshold, decay if stream == "decoder" else None)
        for stream, threshold in thresholds.items()
    }
    return Method("mue", decompose, rules, skipped_layers)


def deebert(
    threshold: float, heads: Readout, decompose: bool, skipped_layers: SkippedPolicy = "project"
) -> Method:
    """Return DeeBERT (Xin et al., ACL 2020) on the decoder: heads trained on the frozen model, exit
    on low entropy.
    """
    return Method("deebert", decompose, {"decoder": entropy_rule(threshold)}, skipped_layers, heads)


def pabee(
    patience: float, heads: Readout, decompose: bool, skipped_layers: SkippedPolicy = "project"
) -> Method:
    """Return PABEE (Zhou et al., NeurIPS 2020) on the decoder: heads trained with the model, exit
    once `patience` layers agree.
    """
    return Method("pabee", decompose, {"decoder": PatienceRule(patience)}, skipped_layers, heads)


def deecap(
    threshold: float, imitation: Readout, decompose: bool, skipped_layers: SkippedPolicy = "project"
) -> Method:
    """Return DeeCap (Fei et al., CVPR 2022): deep states imitated, exit on high confidence."""
    return Method(
        "deecap", decompose, {"decoder": confidence_rule(threshold)}, skipped_layers, imitation
    )


def calm(
    threshold: float,
    decompose: bool,
    decay: Decay | None,
    skipped_layers: SkippedPolicy = "project",
) -> Method:
    """Return CALM (Schuster et al., NeurIPS 2022): softmax margin of the shared head with decay;
    the state that left is propagated.
    """
    return Method("calm", decompose, {"decoder": margin_rule(threshold, decay)}, skipped_layers)
