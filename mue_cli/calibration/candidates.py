"""Candidate thresholds of one stream, chosen from the exit scores of the full model.

Letters: R rows of exit scores, N layers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mue_cli.exits.decay import Decay, decayed_threshold

NEVER = 1.01
"""A threshold above any exit score: the stream runs all its layers."""

AT_ONCE = -1.0
"""A threshold below any exit score: the stream leaves after its first layer."""

NUM_LEVELS = 24  # thresholds per stream, evenly spaced in mean exit layer
SMALLEST_GAP = 2e-6  # exit scores closer than this are one value but for rounding

Array = NDArray[np.float64]
Layers = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Candidate thresholds of a stream, from never to at once, and the fraction of its layers that
    each saves.
    """

    thresholds: Array
    saved: Array


def without_decay(scores: ArrayLike, steps: Sequence[int], num_steps: int, decay: Decay) -> Array:
    """Exit scores of the decoder, (R, N), as a threshold theta itself is compared with them.

    Eq. 11 lets a word leave when s > beta * theta + d, where d is its value at theta = 0: that is,
    when (s - d) / beta > theta. Words of full-depth steps become -inf: no threshold lets them go.

    scores: (R, N). steps: each row's decoding step t, from 1. num_steps: N of Eq. 11.
    """
    if not 0.0 < decay.beta <= 1.0:
        raise ValueError(f"beta must lie in (0, 1], not {decay.beta}")
    step = np.asarray(steps)[:, None]
    added = np.array([decayed_threshold(0.0, t, num_steps, decay.beta, decay.tau) for t in steps])
    undecayed = (np.asarray(scores, dtype=np.float64) - added[:, None]) / decay.beta
    return np.where(step <= decay.full_depth_steps, -np.inf, undecayed)


def candidate_thresholds(scores: ArrayLike, num_levels: int = NUM_LEVELS) -> Candidates:
    """Candidate thresholds of one stream, about evenly spaced in mean exit layer.

    A row leaves at the first layer whose exit score is above the threshold: it runs on after layer
    j if the largest of its first j is not. So the mean exit layer is 1 + (how many of these running
    maxima are at most the threshold) / R: once they are sorted, each rank is a mean exit layer.
    Thresholds stand in the widest gap near each level, never on an exit score itself.

    scores: (R, N); NaN is above no threshold. Returns at most num_levels + 1 thresholds.
    """
    scores = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=-np.inf)
    num_rows, num_layers = scores.shape
    peaks = np.sort(np.maximum.accumulate(scores[:, :-1], axis=1), axis=None)  # (R (N - 1),)
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
    return Candidates(np.array(thresholds), 1.0 - mean_exit / num_layers)


def candidates_at(scores: ArrayLike, thresholds: Sequence[float]) -> Candidates:
    """Given thresholds, from never to at once, as candidates: where scores are counts, there are
    few. scores: (R, N).
    """
    values = np.asarray(thresholds, dtype=np.float64)
    exits = first_above(np.asarray(scores, dtype=np.float64), values)
    return Candidates(values, 1.0 - exits.mean(axis=1) / np.shape(scores)[1])


def first_above(scores: Array, thresholds: Sequence[float] | Array) -> Layers:
    """First layer above each threshold, (t, R), from 1; the last layer where none is. scores: (R,
    N), NaN above nothing.
    """
    peaks = np.maximum.accumulate(np.nan_to_num(scores[:, :-1], nan=-np.inf), axis=1)
    return 1 + (peaks[None] <= np.asarray(thresholds)[:, None, None]).sum(axis=2)


def _widest_gap(peaks: Array, first: int, last: int) -> int | None:
    """Rank from first to last before which the sorted values have the widest gap; None where no
    threshold fits.
    """
    ranks = np.arange(max(first, 1), min(last, len(peaks) - 1) + 1)
    if not len(ranks):
        return None
    gaps = peaks[ranks] - peaks[ranks - 1]
    fits = np.isfinite(gaps) & (gaps > SMALLEST_GAP) & (peaks[ranks - 1] + peaks[ranks] <= 2.0)
    return int(ranks[np.where(fits, gaps, 0.0).argmax()]) if fits.any() else None


def levels(scores: ArrayLike, num_points: int) -> dict[float, float]:
    """Thresholds of one stream, about evenly spaced in mean exit layer, by the share of all it can
    save: 1 / num_points to 1.
    """
    return evenly(candidate_thresholds(scores, NUM_LEVELS), num_points)


def evenly(candidates: Candidates, num_points: int) -> dict[float, float]:
    """Some of the candidates, as `levels`."""
    shares = [(number + 1) / num_points for number in range(num_points)]
    most = candidates.saved.max()
    nearest = {share: int(np.abs(candidates.saved - share * most).argmin()) for share in shares}
    return {
        share: float(candidates.thresholds[place])
        for share, place in nearest.items()
        if candidates.saved[place] > 0.0
    }
