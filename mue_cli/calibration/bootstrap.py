"""How sure a mean over samples is: percentile bootstrap (Efron, 1979) over pictures.

Letters: n samples, C columns, Z resamples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Interval = tuple[float, float]

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
_CHUNK = 100
"""Resamples at a time."""


def mean_interval(values: ArrayLike, pictures: Sequence[str] | None = None) -> Interval | None:
    """Return the bounds of the 95 % interval of the values' mean; None below two pictures, which
    say nothing of others. The same every time.

    pictures: (n,), of each value; None where each has its own.
    """
    sample = np.asarray(values, dtype=np.float64)
    sums = resampled(np.column_stack([np.ones(len(sample)), sample]), pictures)
    return None if sums is None else middle(sums[:, 1] / sums[:, 0])


def resampled(columns: Array, pictures: Sequence[str] | None = None) -> Array | None:
    """Return the columns' sums over pictures drawn with replacement, (n, C) -> (Z, C); None below
    two pictures. pictures: (n,), which samples (questions about one) are drawn together.
    """
    units = _by_picture(columns, pictures)
    size = len(units)
    if size < 2:
        return None
    generator = np.random.default_rng(0)
    drawn = (generator.integers(size, size=(_CHUNK, size)) for _ in range(RESAMPLES // _CHUNK))
    return np.concatenate([_sums(units, index) for index in drawn])


def middle(values: Array) -> Interval:
    """Return the bounds that 95 % of the values lie between."""
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def _by_picture(columns: Array, pictures: Sequence[str] | None) -> Array:
    """Return the columns' sums over each picture's samples."""
    if pictures is None:
        return columns
    numbers = np.unique(np.asarray(pictures), return_inverse=True)[1]
    return np.column_stack([np.bincount(numbers, column) for column in columns.T])


def _sums(units: Array, index: NDArray[np.int64]) -> Array:
    """index: (Z, n)."""
    return np.column_stack([column[index].sum(axis=1) for column in units.T])
