"""Suitability: how much exits could save of a model at all, at about equal quality.

Letters: n samples, N encoder layers, M decoder layers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mue_cli.calibration.candidates import Array
from mue_cli.calibration.exit_table import ExitTable

MAX_DROP = 0.01


@dataclass(frozen=True)
class Suitability:
    """Reductions by Eq. 14 on the same samples.

    oracle: of the cheapest exits of each sample that leave its answer as it is; no rule can know
    them. static: of the best fixed layers for all, whose score falls by at most `max_drop`.
    searched: of the best thresholds within that drop. oracle_samples: where the oracle was asked
    about fewer samples than the others.
    """

    oracle: float
    static: float
    searched: float
    max_drop: float = MAX_DROP
    oracle_samples: int | None = None

    def in_words(self, method: str) -> str:
        """One line for the terminal."""
        few = f" on {self.oracle_samples} samples" if self.oracle_samples else ""
        return (
            f"what exits could save here: {self.oracle:.1%} with every answer unchanged "
            f"(oracle{few}); with {self.max_drop:.0%} less score {self.static:.1%} by fixed "
            f"layers, {self.searched:.1%} by {method}"
        )


def suitability(
    table: ExitTable,
    unchanged: NDArray[np.bool_],
    reductions: Array,
    scores: Array,
    max_drop: float = MAX_DROP,
) -> Suitability:
    """What could be saved on the samples of a table.

    unchanged: whether each sample's answer is the full model's, of the table's shape. reductions,
    scores: of the settings that were searched, (C,), on the same samples.
    """
    saved = _savings(table)
    least = (1.0 - max_drop) * float(table.scores.reshape(len(table), -1)[:, -1].mean())
    cheapest = np.where(unchanged, saved, 0.0).reshape(len(table), -1).max(axis=1)
    return Suitability(
        oracle=float(cheapest.mean()),
        static=float(saved[table.scores.mean(axis=0) >= least].max()),
        searched=float(reductions[scores >= least].max()),
        max_drop=max_drop,
    )


def _savings(table: ExitTable) -> Array:
    """Reduction (Eq. 14) of every combination of exit layers, (N, ..., M)."""
    shape = table.scores.shape[1:]
    depths = np.indices(shape) + 1.0
    sizes = np.array(shape, dtype=np.float64).reshape(-1, *[1] * len(shape))
    shares = depths / sizes
    encoder = shares[:-1].mean(axis=0) if len(shape) > 1 else np.ones(shape)
    return 1.0 - (encoder + shares[-1]) / 2.0
