"""Methods of the catalogue, spelled briefly for tests."""

from collections.abc import Mapping

from mue_cli.exits.catalogue import CALM, DEEBERT, DEECAP, MUE, PABEE, STATIC
from mue_cli.exits.confidence import CONFIDENCE, MARGIN
from mue_cli.exits.decay import Decay
from mue_cli.exits.entropy import CERTAINTY
from mue_cli.exits.heads import ExitHead
from mue_cli.exits.methods import Method, SkippedPolicy, build, full
from mue_cli.exits.patience import AGREEMENT
from mue_cli.exits.similarity import SIMILARITY
from mue_cli.exits.threshold import ThresholdRule

__all__ = ["Method", "full"]


def static(layers: Mapping[str, int], decompose: bool, policy: SkippedPolicy = "project") -> Method:
    return build(STATIC, layers, decompose, None, policy)


def mue(
    thresholds: Mapping[str, float],
    decompose: bool,
    decay: Decay | None,
    policy: SkippedPolicy = "project",
) -> Method:
    return build(MUE, thresholds, decompose, decay, policy)


def deebert(
    threshold: float, head: ExitHead, decompose: bool, policy: SkippedPolicy = "project"
) -> Method:
    return build(DEEBERT, {"decoder": threshold}, decompose, None, policy, head)


def pabee(
    patience: float, head: ExitHead, decompose: bool, policy: SkippedPolicy = "project"
) -> Method:
    return build(PABEE, {"decoder": patience}, decompose, None, policy, head)


def deecap(
    threshold: float, head: ExitHead, decompose: bool, policy: SkippedPolicy = "project"
) -> Method:
    return build(DEECAP, {"decoder": threshold}, decompose, None, policy, head)


def calm(
    threshold: float, decompose: bool, decay: Decay | None, policy: SkippedPolicy = "project"
) -> Method:
    return build(CALM, {"decoder": threshold}, decompose, decay, policy)


def similarity_rule(threshold: float | None, decay: Decay | None = None) -> ThresholdRule:
    return ThresholdRule(threshold, SIMILARITY, decay)


def entropy_rule(threshold: float) -> ThresholdRule:
    return ThresholdRule(threshold, CERTAINTY)


def confidence_rule(threshold: float) -> ThresholdRule:
    return ThresholdRule(threshold, CONFIDENCE)


def margin_rule(threshold: float, decay: Decay | None = None) -> ThresholdRule:
    return ThresholdRule(threshold, MARGIN, decay)


def patience_rule(patience: float | None) -> ThresholdRule:
    return ThresholdRule(patience, AGREEMENT)
