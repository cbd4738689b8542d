"""The precision of inference that calibration chooses where the recipe says `auto`."""

from dataclasses import dataclass
from typing import Literal

from mue_cli.schema.schema import Natural

Precision = Literal["float32", "bfloat16"]

LEAST_SPEEDUP = 1.05
"""What bfloat16 has to gain: less is within the clock's mood, and float32 is exact."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision that calibration chose on its machine, and why.

    speedup: time of float32 over that of bfloat16, the full model, a sample at a time. score,
    float32_score: of the full model on `samples` of val; None where bfloat16 is no faster.
    """

    precision: Precision
    speedup: float
    samples: Natural = 0
    score: float | None = None
    float32_score: float | None = None

    def in_words(self, metric: str) -> str:
        """Return the choice and its grounds in one line."""
        grounds = f"bfloat16 takes {1 / self.speedup:.2f} of float32's time here"
        if self.score is not None and self.float32_score is not None:
            grounds += (
                f", {metric} {self.score:.1f} against {self.float32_score:.1f} on {self.samples} "
                "samples of val"
            )
        return f"precision {self.precision}: {grounds}"
