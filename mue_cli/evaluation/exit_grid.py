"""How deep each stream has to run: the score for every pair of image and text exit layers, the
decoder at full depth (Table 2), and predictions of each stream read after each of its layers.

Letters: N layers of a stream.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Prediction, Predictor, decode_batch, encode_batch
from mue_cli.exits.catalogue import STATIC
from mue_cli.exits.methods import build, full
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


@torch.inference_mode()
def predict_depths(
    predictor: Predictor,
    decompose: bool,
    batches: Iterable[Batch],
    progress: Callable[[int], None] | None = None,
) -> dict[str, list[list[Prediction]]]:
    """Return the predictions with one stream read after each of its layers and all others after
    their last: by stream, layer by layer.

    "encoder" is image and text together. Every batch is encoded once. progress: samples decoded,
    each once for every setting.
    """
    method, predicted, done = full(decompose), dict[str, list[list[Prediction]]](), 0
    for batch in batches:
        cached = CachedDepths(
            predictor.model, method, partial(encode_batch, predictor, method, batch)
        )
        whole = decode_batch(predictor, method, batch, cached.full)
        deepest = {**cached.depths, "decoder": predictor.model.config.num_decoder_layers}
        for stream, moving in _moving(cached.depths).items():
            by_layer = predicted.setdefault(stream, [[] for _ in range(deepest[moving[0]])])
            for layer, predictions in enumerate(by_layer, 1):
                depths = deepest | dict.fromkeys(moving, layer)
                static = build(STATIC, {"decoder": depths.pop("decoder")}, decompose)
                at_last = layer == len(by_layer)
                predictions += (
                    whole if at_last else decode_batch(predictor, static, batch, cached.at(depths))
                )
                done += len(whole)
                if progress is not None:
                    progress(done)
    return predicted


def _moving(encoder: Collection[str]) -> dict[str, list[str]]:
    """Return by name the streams that are read early together."""
    alone = {stream: [stream] for stream in (*encoder, "decoder")}
    return {**alone, "encoder": list(encoder)} if len(alone) > 2 else alone
