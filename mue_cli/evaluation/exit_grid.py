"""How deep each modality has to be encoded: the score for every pair of image and text exit layers,
the decoder at full depth (Table 2).

Letters: N encoder layers.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Prediction, Predictor, decode_batch, encode_batch
from mue_cli.exits.methods import full
from mue_cli.inference.depths import CachedDepths

Pair = tuple[int, int]
"""Exit layers of the image and of the text, counted from 1."""


@torch.inference_mode()
def score_pairs(
    predictor: Predictor,
    batches: Iterable[Batch],
    score: Callable[[Sequence[Prediction]], float],
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Return the score of every pair, (N, N): row image layer - 1, column text layer - 1.

    Every batch is encoded once and decoded once for every pair. progress: samples decoded, each
    once for every pair.
    """
    method, predicted, done = full(decompose=True), dict[Pair, list[Prediction]](), 0
    for batch in batches:
        cached = CachedDepths(
            predictor.model, method, partial(encode_batch, predictor, method, batch)
        )
        for depths in cached.combinations():
            predictions = decode_batch(predictor, method, batch, cached.at(depths))
            predicted.setdefault((depths["image"], depths["text"]), []).extend(predictions)
            done += len(predictions)
            if progress is not None:
                progress(done)
    layers = range(1, predictor.model.config.num_encoder_layers + 1)
    return np.array([[score(predicted[image, text]) for text in layers] for image in layers])
