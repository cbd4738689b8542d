"""Frontier: of many settings those that no other one beats in both reduction and score.

Letters: C settings, F of the frontier.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array

WIDTH = 0.02  # one setting of the frontier for so much reduction
STEP = 0.1


def frontier(reduction: ArrayLike, score: ArrayLike, width: float = WIDTH) -> list[int]:
    """Numbers of the settings on the frontier, from little saving to much, the best score of each
    step of `width` alone.

    Every setting that stays has a lower score than those before it: what saves more at an equal
    score takes the place of what saves less.
    """
    reduction, score = np.asarray(reduction), np.asarray(score)
    order = np.lexsort((-reduction, -score))  # best first; of equals, what saves more
    kept: list[int] = []
    most = -np.inf
    for number in order:
        if reduction[number] > most + (width if kept else 0.0):
            most = float(reduction[number])
            kept.append(int(number))
    return kept


def staircase(reduction: ArrayLike, score: ArrayLike, width: float = STEP) -> list[int]:
    """Numbers of the settings of the frontier and, below its first, of the best of each step of
    `width`: a way up to it, for tests that stop at the first failure.
    """
    reduction, score = np.asarray(reduction), np.asarray(score)
    front = frontier(reduction, score)
    order = np.lexsort((-reduction, -score))
    best: dict[int, int] = {}
    for number in order:
        if reduction[number] < reduction[front[0]]:
            best.setdefault(int(reduction[number] / width), int(number))
    return [*(best[step] for step in sorted(best)), *front]


def smoothed(values: Array, shape: Sequence[int]) -> Array:
    """Mean of each setting and its neighbours on the grid, (C,): a setting whose neighbours are bad
    was lucky.

    shape: of the grid, whose settings are numbered with the last stream fastest.
    """
    grid = values.reshape(shape)
    for axis in range(grid.ndim):
        pad = [(0, 0)] * grid.ndim
        pad[axis] = (1, 1)
        wide = np.pad(grid, pad, mode="edge")
        size = grid.shape[axis]
        grid = np.mean([wide.take(range(k, k + size), axis) for k in range(3)], axis=0)
    return grid.ravel()


def rising(values: ArrayLike) -> Array:
    """The nearest sequence that never falls (isotonic regression, pooling adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in np.asarray(values, dtype=np.float64):
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])


def last_within(drops: ArrayLike, max_drop: float) -> int:
    """How many settings of a path, from the first on, lose at most `max_drop`, once luck is evened
    out along the path.
    """
    return int((rising(drops) <= max_drop).sum())
