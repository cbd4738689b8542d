"""What a training draws at each step: the encoder's depths (exposure), the layers in the loss
(rotation). A draw depends on the step alone, so that resuming and all processes see the same.
"""

from collections.abc import Sequence

import numpy as np

EXPOSURE, ROTATION = 1, 2
"""Keep the draws of one step apart."""


def drawn_depths(
    step: int, share: float, num_layers: int, num_streams: int
) -> tuple[int, ...] | None:
    """Return after how many layers each stream leaves the encoder, None for all of them.

    share: of the steps in which depths are drawn, each from 1 to num_layers alike.
    """
    generator = np.random.default_rng([step, EXPOSURE])
    if generator.random() >= share:
        return None
    return tuple(int(depth) for depth in generator.integers(1, num_layers + 1, num_streams))


def rotated(weights: Sequence[float], step: int, num_early: int) -> list[float]:
    """Return the layers' weights with all but `num_early` of the early ones at zero; those count so
    much more that the mean over steps is the same. The last layer always counts.
    """
    early = [layer for layer, weight in enumerate(weights[:-1]) if weight > 0.0]
    if num_early == 0 or num_early >= len(early):
        return list(weights)
    generator = np.random.default_rng([step, ROTATION])
    chosen = set(generator.choice(early, num_early, replace=False).tolist())
    more = len(early) / num_early
    return [
        *(more * weight if layer in chosen else 0.0 for layer, weight in enumerate(weights[:-1])),
        weights[-1],
    ]
