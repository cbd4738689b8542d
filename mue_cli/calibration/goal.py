"""Goal: what a calibration is to reach."""

from dataclasses import dataclass
from typing import Literal, get_args

from mue_cli.calibration.certificate import check_promise
from mue_cli.errors import MueError

By = Literal["expected", "flops", "latency"]
TestName = Literal["betting", "hoeffding-bentkus"]


@dataclass(frozen=True)
class Goal:
    """A reduction to reach, a drop not to exceed, or both.

    target_reduction: fraction, counted `by` Eq. 14, FLOPs or milliseconds. max_drop: the largest
    relative fall of the score; with a confidence, the largest expected loss of a sample, certified
    by `test`.
    """

    target_reduction: float | None = None
    by: By = "expected"
    max_drop: float | None = None
    confidence: float | None = None
    test: TestName = "betting"

    def check(self) -> None:
        """Refuse a goal that makes no sense. Raises MueError."""
        if self.target_reduction is None and self.max_drop is None:
            raise MueError("nothing to calibrate for", "give a target reduction or a largest drop")
        target = self.target_reduction
        if target is not None and not 0.0 < target < 1.0:
            raise MueError(
                f"the target reduction is {target:g}, expected a fraction above 0 and below 1",
                "0.4 stands for 40 %",
            )
        if self.max_drop is not None:
            check_promise(self.max_drop, 0.5 if self.confidence is None else self.confidence)
        elif self.confidence is not None:
            raise MueError(
                "a confidence alone promises nothing", "add --max-drop 0.02, or leave it out"
            )
        if self.by not in get_args(By):
            raise MueError(
                f"a reduction by `{self.by}` is unknown", f"known: {', '.join(get_args(By))}"
            )
