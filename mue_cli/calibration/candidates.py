"""Candidate thresholds of one stream, chosen from what its rule would have seen of the full model.

Letters: R rows of a profile, N layers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mue_cli.exits.decay import Decay, decayed_threshold

NEVER = 1.01
"""A threshold above any similarity: the stream runs all its layers."""

AT_ONCE = -1.0
"""A threshold below any similarity: the stream leaves after its first layer."""

NUM_LEVELS = 24  # thresholds per stream, evenly spaced in mean exit layer
SMALLEST_GAP = 2e-6  # observed similarities closer than this are one value seen through rounding

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ladder:
    """A stream's candidate thresholds, from never to at once, and the fraction of its layers that
    each saves on the profile.
    """

    thresholds: Array
    saved: Array


def without_decay(
    similarities: ArrayLike, steps: Sequence[int], num_steps: int, decay: Decay
) -> Array:
    """Turn the decoder's similarities into what a threshold theta itself is compared with.

    Eq. 11 lets a word leave when s > beta * theta + d, where d is what it gives for a threshold of
    0: that is, when (s - d) / beta > theta. Words of full-depth steps become -inf: no threshold
    lets them go.

    similarities: (R, N). steps: each row's decoding step t, from 1. num_steps: N of Eq. 11.
    """
    if not 0.0 < decay.beta <= 1.0:
        raise ValueError(f"beta must lie in (0, 1], not {decay.beta}")
    observed = np.asarray(similarities, dtype=np.float64)
    step = np.asarray(steps)[:, None]
    added = np.array([decayed_threshold(0.0, t, num_steps, decay.beta, decay.tau) for t in steps])[
        :, None
    ]
    return np.where(step <= decay.full_depth_steps, -np.inf, (observed - added) / decay.beta)


def ladder(profile: ArrayLike, num_levels: int = NUM_LEVELS) -> Ladder:
    """Choose candidate thresholds for one stream, about evenly spaced in mean exit layer.

    A row leaves at the first layer whose similarity is above the threshold: it runs on after layer
    j if the largest of its first j is not. So the mean exit layer is 1 + (how many of these running
    maxima are at most the threshold) / R: once they are sorted, each rank is a mean exit layer.
    Thresholds stand in the widest gap near each level, never on an observed value.

    profile: (R, N). Returns at most num_levels + 1 steps.
    """
    observed = np.asarray(profile, dtype=np.float64)
    num_rows, num_layers = observed.shape
    peaks = np.sort(np.maximum.accumulate(observed[:, :-1], axis=1), axis=None)  # (R (N - 1),)
    never_leave = int(np.searchsorted(peaks, AT_ONCE))
    thresholds, ranks = [NEVER], [len(peaks)]
    spacing = (len(peaks) - never_leave) / num_levels
    for level in range(num_levels - 1, 0, -1):
        middle = never_leave + level * spacing
        rank = _widest_gap(peaks, math.ceil(middle - spacing / 2), math.floor(middle + spacing / 2))
        if rank is not None and rank < ranks[-1]:
            thresholds.append((peaks[rank - 1] + peaks[rank]) / 2)
            ranks.append(rank)
    thresholds.append(AT_ONCE)
    ranks.append(never_leave)
    mean_exit = 1.0 + np.array(ranks) / num_rows
    return Ladder(np.array(thresholds), 1.0 - mean_exit / num_layers)


def _widest_gap(peaks: Array, first: int, last: int) -> int | None:
    """Return the rank from first to last before which the sorted values have the widest gap; None
    where no threshold fits.
    """
    ranks = np.arange(max(first, 1), min(last, len(peaks) - 1) + 1)
    if not len(ranks):
        return None
    gaps = peaks[ranks] - peaks[ranks - 1]
    fits = np.isfinite(gaps) & (gaps > SMALLEST_GAP) & (peaks[ranks - 1] + peaks[ranks] <= 2.0)
    return int(ranks[np.where(fits, gaps, 0.0).argmax()]) if fits.any() else None


def levels(profile: ArrayLike, num_points: int) -> dict[float, float]:
    """Return thresholds of one stream, about evenly spaced in mean exit layer, by the share of all
    it can save: 1 / num_points to 1.
    """
    rungs = ladder(profile, NUM_LEVELS)
    shares = [(number + 1) / num_points for number in range(num_points)]
    nearest = {
        share: int(np.abs(rungs.saved - share * rungs.saved.max()).argmin()) for share in shares
    }
    return {
        share: float(rungs.thresholds[rung])
        for share, rung in nearest.items()
        if rungs.saved[rung] > 0.0
    }
