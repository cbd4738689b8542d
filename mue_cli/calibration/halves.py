"""Halves: the samples that a search may use, and fresh ones for what must not be luck."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Halves:
    """Numbers of samples. All of a picture are in one half. fresh: empty when there is a single
    picture; in random order of the pictures.
    """

    search: tuple[int, ...]
    fresh: tuple[int, ...]

    @classmethod
    def of(cls, pictures: Sequence[Hashable], seed: int = 0) -> "Halves":
        """Split samples at random by their pictures, the same way every time."""
        samples: dict[Hashable, list[int]] = {}
        for number, picture in enumerate(pictures):
            samples.setdefault(picture, []).append(number)
        groups = list(samples.values())
        order = np.random.default_rng(seed).permutation(len(groups))
        middle = (len(groups) + 1) // 2
        parts = (order[:middle], order[middle:])
        return cls(*(tuple(n for place in part for n in groups[place]) for part in parts))
