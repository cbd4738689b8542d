"""Estimates from the settings already run: what every other setting saves and loses.

- reduction: the prediction from the full model's exit scores (exact for the encoder, near for the
  decoder, whose words and inputs change), corrected by the errors at settings nearby;
- loss: the logarithm of the score's fall, as a sum of convex, rising functions of each stream's
  saved layers, fitted to all measurements.

Letters: C settings, K streams, E settings already run.
"""

from collections.abc import Sequence

import numpy as np

from mue_cli.calibration.candidates import Array
from mue_cli.calibration.settings import Point, Settings

BAND = 0.02  # settings estimated to save this much more than needed are not worth running
NUM_KNOTS = 6  # where a stream's loss may bend
RIDGE = 0.003
EXPLORATION = 0.3  # log-score that a distance of all layers of one stream is worth at the start
WORST_RATIO = 0.02  # scores below this share of the full model's are all equally useless


def most_promising(
    settings: Settings,
    tried: Sequence[int],
    points: Sequence[Point],
    target: float,
    max_evaluations: int,
) -> int | None:
    """Number of the most promising setting not yet run whose estimated reduction just reaches the
    target; None without one.
    """
    reduction = estimated_reduction(settings, tried, points)
    reduction[list(tried)] = -np.inf
    if reduction.max() < target:
        return None
    possible = (reduction >= target) & (reduction <= reduction[reduction >= target].min() + BAND)
    value = estimated_loss(settings, tried, points)
    if len(tried) > 1:
        fading = 1.0 - len(tried) / max_evaluations
        value -= EXPLORATION * fading * settings.distances(tried).min(axis=1)
    return int(np.where(possible, value, np.inf).argmin())


def estimated_reduction(settings: Settings, tried: Sequence[int], points: Sequence[Point]) -> Array:
    """Predicted reductions, (C,), corrected by the errors at settings tried nearby; far from all of
    them the prediction stands.
    """
    errors = np.array([point.reduction for point in points]) - settings.reduction[list(tried)]
    nearness = (settings.distances(tried) + 0.03) ** -4
    return settings.reduction + nearness @ errors / (nearness.sum(axis=1) + 0.3**-4)


def estimated_loss(settings: Settings, tried: Sequence[int], points: Sequence[Point]) -> Array:
    """-log(score / full score), (C,), as a sum over streams of convex rising functions of what they
    save.

    Small losses weigh most: where the score is ruined, it does not matter how much.
    """
    ratios = np.array([point.score for point in points]) / max(points[0].score, 1e-9)
    losses = -np.log(np.clip(np.nan_to_num(ratios), WORST_RATIO, None))
    knots = np.arange(NUM_KNOTS) / NUM_KNOTS
    bends = np.maximum(0.0, settings.saved[:, :, None] - knots) / (1.0 - knots)
    features = bends.reshape(len(settings.saved), -1)  # (C, K knots)
    weights = 1.0 / (0.03 + np.maximum(losses, 0.0))
    coefficients = _non_negative_fit(features[list(tried)] * weights[:, None], losses * weights)
    # Between equals, spread the saving over the streams.
    return features @ coefficients + 3e-4 * np.square(settings.saved).sum(axis=1)


def _non_negative_fit(features: Array, values: Array) -> Array:
    """Ridge regression with coefficients of at least zero, by coordinate descent."""
    gram = features.T @ features + RIDGE * np.eye(features.shape[1])
    moments = features.T @ values
    coefficients = np.zeros(features.shape[1])
    for _ in range(300):
        before = coefficients.copy()
        for j in range(len(coefficients)):
            step = (moments[j] - gram[j] @ coefficients) / gram[j, j]
            coefficients[j] = max(0.0, coefficients[j] + step)
        if np.array_equal(before, coefficients):
            break
    return coefficients
