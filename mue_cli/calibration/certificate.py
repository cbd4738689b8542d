"""Certificate: thresholds whose expected loss against the full model is at most D, with a stated
confidence.

The path of settings, from no exits to more, comes from one half of the samples and is fixed before
the other half is looked at; the other half tests it in order (mue_cli/calibration/risk.py).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array
from mue_cli.calibration.risk import (
    PValue,
    betting_p_value,
    fixed_sequence,
    hoeffding_bentkus_p_value,
    samples_needed,
)
from mue_cli.errors import MueError

TESTS: Mapping[str, PValue] = {
    "betting": betting_p_value,
    "hoeffding-bentkus": hoeffding_bentkus_p_value,
}


@dataclass(frozen=True)
class Certificate:
    """The promise and how it was tested.

    max_drop, confidence: the promise. test, loss: by name. units: independent samples of the
    testing half (pictures). path: how many settings there were to test; p_values: of those that
    were tested, in order. num_passed: of them; 0 promises the full model alone. mean_loss: of the
    last that passed, on the testing half. units_needed: how many would have let the setting that
    failed pass, were its true loss the measured one; None when none failed or no number would.
    """

    max_drop: float
    confidence: float
    test: str
    loss: str
    units: int
    path: int
    p_values: tuple[float, ...]
    num_passed: int
    mean_loss: float
    units_needed: int | None = None

    def in_words(self) -> Iterator[str]:
        """The promise, a line each."""
        if self.num_passed:
            yield (
                f"certified: a sample's expected loss ({self.loss}) is at most {self.max_drop:.1%} "
                f"with confidence {self.confidence:.1%} ({self.test}, {self.units} pictures, "
                f"{len(self.p_values)} of {self.path} settings tested, {self.num_passed} passed; "
                f"loss there {self.mean_loss:.2%})"
            )
        else:
            yield (
                f"not certified: no setting keeps the expected loss ({self.loss}) within "
                f"{self.max_drop:.1%} with confidence {self.confidence:.1%} on {self.units} "
                "pictures; the full model alone does"
            )
        if self.units_needed is not None and self.units_needed > self.units:
            yield f"the next setting would need about {self.units_needed} pictures of the test half"


def certify(
    num_settings: int,
    losses: Callable[[int], ArrayLike],
    max_drop: float,
    confidence: float,
    test: str = "betting",
    loss: str = "loss",
) -> Certificate:
    """Test a path of settings in order until one fails.

    losses: of a setting of the path, by number, on the testing half: one for each independent
    sample, in an order that does not depend on them. Raises MueError for a promise out of range.
    """
    check_promise(max_drop, confidence)
    tested: list[Array] = []

    def path() -> Iterator[Array]:
        for number in range(num_settings):
            tested.append(np.asarray(losses(number), dtype=np.float64))
            yield tested[-1]

    result = fixed_sequence(path(), max_drop, confidence, TESTS[test])
    passed = result.num_passed
    failed = tested[passed] if passed < len(tested) else None
    return Certificate(
        max_drop,
        confidence,
        test,
        loss,
        units=len(tested[0]) if tested else 0,
        path=num_settings,
        p_values=result.p_values,
        num_passed=passed,
        mean_loss=float(tested[passed - 1].mean()) if passed else 0.0,
        units_needed=None if failed is None else _needed(failed, max_drop, confidence),
    )


def check_promise(max_drop: float, confidence: float) -> None:
    """Refuse a promise out of range. Raises MueError."""
    for name, value, example in (
        ("drop", max_drop, "0.02 stands for 2 %"),
        ("confidence", confidence, "0.95 stands for 95 %"),
    ):
        if not 0.0 < value < 1.0:
            raise MueError(f"a {name} of {value:g} is not between 0 and 1", f"{example}")


def _needed(losses: Array, max_drop: float, confidence: float) -> int | None:
    return samples_needed(float(losses.mean()), max_drop, confidence)


def without_detours(order: Sequence[int], losses: ArrayLike, safe: float) -> list[int]:
    """Settings of a path from little saving to much, without those that lose more than a later one
    and more than `safe`.

    A test that stops at the first failure must not meet what saves less and loses more; where such
    a setting loses little, it is one to fall back on.
    """
    kept: list[int] = []
    least = math.inf
    for number, loss in zip(reversed(order), reversed(np.asarray(losses)), strict=True):
        if loss <= max(least, safe):
            kept.append(number)
        least = min(least, loss)
    return kept[::-1]


def path_of(order: Sequence[int], drops: ArrayLike, most: float) -> list[int]:
    """Settings of a path up to the first that already loses more than `most` on the search's half:
    what lies behind could not pass.
    """
    kept: list[int] = []
    for number, drop in zip(order, np.asarray(drops), strict=True):
        if drop > most:
            break
        kept.append(number)
    return kept
