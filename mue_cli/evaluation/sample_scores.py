"""Each sample's own score, 100 being right or, of captions, CIDEr-D times 100: what paired
comparisons are made of.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mue_cli.data.tasks import Task
from mue_cli.evaluation.predict import Prediction
from mue_cli.metrics.repeated_cider import RepeatedCider

Array = NDArray[np.float64]


class SampleScores:
    """Scores of texts for known samples. A caption that a picture had before is not scored again.

    weighing: images whose references give words their weights, None for all. A certificate's
    weights must not come from the samples that it is tested on.
    """

    def __init__(
        self,
        task: Task,
        predictions: Sequence[Prediction],
        weighing: Collection[str] | None = None,
    ) -> None:
        """predictions: any of all samples, in order, for their images and references."""
        self._images = [each.image_id for each in predictions]
        self._right = [each.references[0] for each in predictions]
        references = {each.image_id: each.references for each in predictions}
        self._cider = RepeatedCider(references, weighing) if task.generates else None
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, samples: Sequence[int], texts: Sequence[str]) -> Array:
        """Scores (n,) of the samples' texts."""
        if self._cider is None:
            right = [text == self._right[n] for n, text in zip(samples, texts, strict=True)]
            return 100.0 * np.array(right, dtype=np.float64)
        keys = [(self._images[n], text) for n, text in zip(samples, texts, strict=True)]
        new = {image: text for image, text in keys if (image, text) not in self._known}
        if new:
            rest = {image: new.get(image, "") for image in dict.fromkeys(self._images)}
            scores = self._cider.per_image(rest)
            self._known |= {(image, text): scores[image] for image, text in new.items()}
        return np.array([self._known[key] for key in keys])
