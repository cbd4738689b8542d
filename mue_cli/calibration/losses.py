"""Losses of a sample against the full model, in [0, 1]: what a certificate bounds.

Each of them is named on the exit card. Corpus scores stand beside them, never in them: a bound is
about a mean over independent samples.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array


def wrong_now(full: ArrayLike, early: ArrayLike) -> Array:
    """1 where the full model's answer was right and the early one is wrong, else 0. Its mean is at
    least the fall in accuracy.

    full, early: whether each answer is right, or a score that is positive where it is.
    """
    return ((np.asarray(full) > 0) & ~(np.asarray(early) > 0)).astype(np.float64)


def relative_drop(full: ArrayLike, early: ArrayLike) -> Array:
    """Drop of each picture's own score (CIDEr-D) as a fraction of the full model's, no gain counted
    and none above all of it; 0 where the full model scores nothing.
    """
    before, now = (np.asarray(scores, dtype=np.float64) for scores in (full, early))
    worth = before > 0.0
    return np.where(worth, np.clip(1.0 - now / np.where(worth, before, 1.0), 0.0, 1.0), 0.0)


def by_picture(losses: ArrayLike, pictures: Sequence[Hashable]) -> Array:
    """Mean loss of each picture's samples, in order of first appearance: questions about one
    picture are not independent, pictures are.
    """
    numbers: dict[Hashable, int] = {}
    picture = np.array([numbers.setdefault(name, len(numbers)) for name in pictures])
    return np.bincount(picture, np.asarray(losses, dtype=np.float64)) / np.bincount(picture)
