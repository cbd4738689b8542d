"""How sure a mean over samples is: percentile bootstrap (Efron, 1979)."""

from collections.abc import Sequence

import numpy as np

DRAWS = 2000
PERCENTILES = (2.5, 97.5)


def mean_interval(
    values: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of the values' mean, from samples drawn with
    replacement. The same every time.
    """
    sample = np.asarray(values, dtype=float)
    generator = np.random.default_rng(seed)
    means = [sample[generator.integers(len(sample), size=len(sample))].mean() for _ in range(draws)]
    low, high = np.percentile(means, PERCENTILES)
    return float(low), float(high)
