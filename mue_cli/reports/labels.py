"""Where text goes in a figure so that nothing lies on anything else. Plain geometry, in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))
_DISTANCES = (1.0, 1.6, 2.4, 3.4, 4.6, 6.0, 7.6)
_ROUNDS = 4
# All in units of the label's own area that is covered.
_COST_OF_A_LABEL_BELOW = 4.0
_COST_OUTSIDE = 8.0
_COST_OF_DISTANCE = 0.07
_COST_OF_CROSSING = 0.5
_STEPS = 12  # points of the line to a label that are looked at


@dataclass(frozen=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Return the area both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)

    def holds(self, x: float, y: float) -> bool:
        """Return whether the point (x, y) lies in the box."""
        return self.left < x < self.right and self.bottom < y < self.top

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the box that is closest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


@dataclass(frozen=True)
class _Candidate:
    """A place for a label. fixed: what it costs whatever the other labels do. way: points between
    the anchor and the label.
    """

    fixed: float
    box: Box
    way: tuple[tuple[float, float], ...]


Obstacle = tuple[Box, float]  # and how bad it is to cover it: 1 is a label's own area


def around(x: float, y: float, radius: float) -> Box:
    """Return the square about a point."""
    return Box(x - radius, y - radius, x + radius, y + radius)


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Obstacle],
    frame: Box,
    gap: float,
) -> list[Box]:
    """Return a box for each label near its anchor, clear of obstacles and of the other labels,
    inside the frame where that is possible.

    anchors: points the labels belong to. sizes: width and height of each. gap: distance of a label
    that has room beside its anchor.
    """
    choices = [
        _candidates(anchor, size, obstacles, frame, gap)
        for anchor, size in zip(anchors, sizes, strict=True)
    ]
    boxes: list[Box] = []
    for _ in range(_ROUNDS):
        for i, candidates in enumerate(choices):
            others = boxes[:i] + boxes[i + 1 :]
            boxes[i : i + 1] = [_best(candidates, others)]
    return boxes


def _candidates(
    anchor: tuple[float, float],
    size: tuple[float, float],
    obstacles: Sequence[Obstacle],
    frame: Box,
    gap: float,
) -> list["_Candidate"]:
    """Return every place a label may have, and what it costs whatever the other labels do."""
    edges = np.array(
        [(o.left, o.bottom, o.right, o.top, weight) for o, weight in obstacles]
    ).reshape(-1, 5)
    places = []
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            box = _beside(anchor, size, direction, gap * distance)
            covered = _covered(box, edges) + _COST_OUTSIDE * (box.area - box.overlap(frame))
            places.append(
                _Candidate(
                    covered / box.area + _COST_OF_DISTANCE * distance, box, _way(anchor, box)
                )
            )
    return places


def _covered(box: Box, edges: NDArray[np.float64]) -> float:
    """Return the area of obstacles, (O, 5) edges and weights, that a box covers, each times its
    weight.
    """
    left, bottom, right, top, weights = edges.T
    widths = np.minimum(right, box.right) - np.maximum(left, box.left)
    heights = np.minimum(top, box.top) - np.maximum(bottom, box.bottom)
    return float(np.sum(weights * widths.clip(0.0) * heights.clip(0.0)))


def _way(anchor: tuple[float, float], box: Box) -> tuple[tuple[float, float], ...]:
    """Return points on the line from an anchor to its label."""
    (x, y), (right, up) = anchor, box.nearest(*anchor)
    return tuple(
        (x + (right - x) * step / _STEPS, y + (up - y) * step / _STEPS) for step in range(1, _STEPS)
    )


def _best(candidates: Sequence[_Candidate], others: Sequence[Box]) -> Box:
    def cost(candidate: _Candidate) -> float:
        box = candidate.box
        covered = _COST_OF_A_LABEL_BELOW * sum(box.overlap(other) for other in others) / box.area
        return (
            candidate.fixed
            + covered
            + _COST_OF_CROSSING
            * sum(any(other.holds(*at) for at in candidate.way) for other in others)
        )

    return min(candidates, key=cost).box


def _beside(
    anchor: tuple[float, float],
    size: tuple[float, float],
    direction: tuple[int, int],
    distance: float,
) -> Box:
    (x, y), (width, height), (right, up) = anchor, size, direction
    diagonal = 0.7 if right and up else 1.0
    left = x + right * diagonal * distance - width * (1 - right) / 2
    bottom = y + up * diagonal * distance - height * (1 - up) / 2
    return Box(left, bottom, left + width, bottom + height)
