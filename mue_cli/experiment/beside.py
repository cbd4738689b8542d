"""An early answer beside the full model's, and how long each took: `mue predict --compare`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

import torch

from mue_cli.cost.latency import interleaved_samples
from mue_cli.reports.exit_strip import printable

T = TypeVar("T")


@dataclass(frozen=True)
class Beside:
    """What the full model says of a picture. ms, full_ms: how long the two took."""

    text: str
    ms: float
    full_ms: float

    @property
    def saved(self) -> float:
        """Share of the time that the exits saved; negative when they cost some."""
        return 1.0 - self.ms / self.full_ms

    def lines(self, text: str) -> str:
        """Return the full model's answer and the early one, a line each, with their times."""
        same = "the same" if text == self.text else "not the same"
        saved = f"{abs(self.saved):.0%} {'less' if self.saved >= 0 else 'more'} time, {same}"
        return (
            f"  full   {self.full_ms:7.1f} ms  {printable(self.text)}\n"
            f"  early  {self.ms:7.1f} ms  {printable(text)}  ({saved})"
        )


@dataclass(frozen=True)
class Savings:
    """What all comparisons come to."""

    sides: list[Beside] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)

    def add(self, text: str, side: Beside) -> None:
        """Count one picture. text: the early answer."""
        self.sides.append(side)
        self.same.append(text == side.text)

    def in_words(self, method: str) -> str:
        """Return how much time was saved, by the medians, and how many answers stayed."""
        early = median(side.ms for side in self.sides)
        full = median(side.full_ms for side in self.sides)
        return (
            f"{method} {early:.1f} ms a picture, full {full:.1f} ms: {1 - early / full:.1%} less; "
            f"{sum(self.same)} of {len(self.same)} answers are the same"
        )


def timed(
    early: Callable[[], Sequence[T]], full: Callable[[], Sequence[T]], device: torch.device
) -> tuple[Sequence[T], Sequence[T], tuple[float, float]]:
    """Return what two programs give, and their milliseconds: of two runs each, turn by turn."""
    kept: dict[str, Sequence[T]] = {}
    pair = interleaved_samples(
        [None],
        lambda _: kept.update(early=early()),
        lambda _: kept.update(full=full()),
        repeats=2,
        warmup=0,
        synchronize=torch.cuda.synchronize if device.type == "cuda" else None,
    )
    return kept["early"], kept["full"], (round(pair.a.median_ms, 3), round(pair.b.median_ms, 3))
