"""What a profile says about exiting on this machine: two predictions, the measured reduction, and a
sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mue_cli.profiling.parts import (
    CROSS,
    DECODER,
    EMBEDDING,
    HEAD,
    RESNET,
    REST,
    RULE,
    SKIPPED,
    Profile,
    encoder_part,
)

NOTABLE_DIFFERENCE = 0.05
"""Measured and FLOPs reductions closer than this count as equal."""

_ENCODER = "the encoder's layers"
_GROUPS: Mapping[str, str] = {
    RESNET: "the ResNet",
    EMBEDDING: "the ResNet",
    **dict.fromkeys(map(encoder_part, ("image", "text", "joint")), _ENCODER),
    **dict.fromkeys((CROSS, SKIPPED, DECODER), "the decoder's layers"),
    HEAD: "the output head",
    RULE: "the rule",
    REST: "search and the rest",
}
_EXITS_SHORTEN = (_ENCODER, "the decoder's layers")


@dataclass(frozen=True)
class Measured:
    """reduction, low, high: median and quartiles of 1 - time / full's time, turn by turn."""

    reduction: float
    low: float
    high: float


def flops_reduction(full: Profile, other: Profile) -> float:
    """Return what the operations of both promise, each with the words that it said."""
    return 1.0 - other.flops / full.flops


def parts_reduction(full: Profile, other: Profile) -> float:
    """Return what full's time per call promises for the calls that the method makes; its rule
    counts as measured, the rest by steps.
    """
    per_call = {part.name: part.ms / part.calls for part in full.parts if part.calls}
    promised = sum(
        part.calls * per_call.get(part.name, part.ms / part.calls)
        for part in other.parts
        if part.name != REST and part.calls
    )
    promised += full.part(REST).ms * other.num_steps / full.num_steps
    return 1.0 - promised / full.total_ms


def verdict(method: str, measured: Measured, flops: float, full: Profile) -> str:
    """Say in one sentence whether exiting pays here, and what dominates. flops: the reduction that
    operations promise.
    """
    return f"{_pays(method, measured, flops)}; {_dominates(full)}."


def _pays(method: str, measured: Measured, flops: float) -> str:
    time = f"{method} takes {_less(measured.reduction, 'less')} time than full"
    if measured.low <= 0.0 <= measured.high:
        low, high = 100 * measured.low, 100 * measured.high
        noise = f"half of the turns lie between {low:.1f} and {high:.1f} %"
        return f"whether exiting pays here, this run cannot tell: {time}, and {noise}"
    if measured.reduction < 0:
        return f"exiting does not pay here: {time}, for {_less(flops, 'fewer')} FLOPs"
    if abs(measured.reduction - flops) <= NOTABLE_DIFFERENCE:
        return f"exiting pays here: {time}, about what its FLOPs promise ({100 * flops:.1f} %)"
    word = "less" if measured.reduction < flops else "more"
    promise = f"exiting pays here, {word} than its FLOPs promise"
    return f"{promise}: {time}, for {_less(flops, 'fewer')} FLOPs"


def _less(reduction: float, word: str) -> str:
    return f"{100 * abs(reduction):.1f} % {word if reduction >= 0 else 'more'}"


def _dominates(full: Profile) -> str:
    shares: dict[str, float] = {}
    for part in full.parts:
        group = _GROUPS.get(part.name, part.name)
        shares[group] = shares.get(group, 0.0) + full.share(part.name)
    largest = max(shares, key=lambda group: shares[group])
    what = "which exits shorten" if largest in _EXITS_SHORTEN else "which no exit shortens"
    return (
        f"the largest part of full's time goes to {largest} ({100 * shares[largest]:.0f} %), {what}"
    )
