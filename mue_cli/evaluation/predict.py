"""Run a method over a data set: predictions with their traces.

Shape letters: B rows, N layers.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from mue_cli.data.batches import Batch, Tokenizer
from mue_cli.data.tasks import Task, clean_generated
from mue_cli.errors import MueError
from mue_cli.exits.methods import Method
from mue_cli.exits.trace import Trace
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import Encoded, encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.inference.walk import Probe
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictor:
    """What is evaluated: a model in evaluation mode, its vocabulary, the task it is asked and how
    it searches.
    """

    model: OFA
    tokenizer: Tokenizer
    task: Task
    search: SearchSection
    tables: PositionTables

    @property
    def device(self) -> torch.device:
        return self.model.decoder.layer_norm.weight.device

    @property
    def num_classes(self) -> int:
        """Return how many classes are read out: the task's answers, or the vocabulary."""
        return len(self.task.answers) or self.model.config.vocab_size

    @property
    def answer_ids(self) -> list[int]:
        """Return the tokens of the task's answers; each answer is one token."""
        return self.task.answer_ids(self.tokenizer.encode)


@dataclass(frozen=True)
class Prediction:
    """text: the caption, cleaned as OFA does, or the answer. references: what it is scored against.

    tokens: ids of the answer as it was generated, end-of-sequence included: one for each of the
    trace's words.
    """

    sample_id: str
    image_id: str
    text: str
    references: tuple[str, ...]
    trace: Trace
    tokens: tuple[int, ...]


def predict_batch(
    predictor: Predictor, method: Method, batch: Batch, probes: Mapping[str, Probe] | None = None
) -> list[Prediction]:
    """Caption or answer every row of a batch under a method."""
    return decode_batch(
        predictor, method, batch, encode_batch(predictor, method, batch, probes), probes
    )


@torch.inference_mode()
def encode_batch(
    predictor: Predictor, method: Method, batch: Batch, probes: Mapping[str, Probe] | None = None
) -> Encoded:
    """Encode the pictures and texts of a batch under a method."""
    images, tokens = batch.images.to(predictor.device), batch.source_tokens.to(predictor.device)
    return encode(predictor.model, predictor.tables, method, images, tokens, probes=probes)


@torch.inference_mode()
def decode_batch(
    predictor: Predictor,
    method: Method,
    batch: Batch,
    encoded: Encoded,
    probes: Mapping[str, Probe] | None = None,
) -> list[Prediction]:
    """Caption or answer every row of a batch that was encoded. Raises MueError where the model's
    scores are not finite.
    """
    decode = _answer if predictor.task.answers else _caption
    return [
        Prediction(
            sample_id,
            image_id,
            text,
            references,
            _trace(sample_id, row, encoded, decoder),
            decoder.tokens,
        )
        for row, (sample_id, image_id, references, (text, decoder)) in enumerate(
            zip(
                batch.sample_ids,
                batch.image_ids,
                batch.references,
                decode(predictor, method, encoded, batch, probes),
                strict=True,
            )
        )
    ]


def predict(
    predictor: Predictor,
    method: Method,
    batches: Iterable[Batch],
    probes: Mapping[str, Probe] | None = None,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Predict for all batches in order. progress: samples done, and -1 for a total that is not
    known here.
    """
    predictions: list[Prediction] = []
    for batch in batches:
        predictions += predict_batch(predictor, method, batch, probes)
        if progress is not None:
            progress(len(predictions), -1)
    return predictions


@dataclass(frozen=True)
class _Decoded:
    exit_layers: tuple[int, ...]
    tokens: tuple[int, ...]
    num_hypotheses: tuple[int, ...]
    num_positions: int


def _caption(
    predictor: Predictor,
    method: Method,
    encoded: Encoded,
    batch: Batch,
    probes: Mapping[str, Probe] | None,
) -> Iterator[tuple[str, _Decoded]]:
    for result in generate(
        predictor.model, predictor.tables, method, encoded, predictor.search, probes
    ):
        if not result.hypotheses:
            raise _not_finite()
        words = result.best.tokens
        decoded = _Decoded(tuple(result.exit_layers), words, tuple(result.num_hypotheses), 1)
        yield clean_generated(predictor.tokenizer.decode(list(words[:-1]))), decoded


def _answer(
    predictor: Predictor,
    method: Method,
    encoded: Encoded,
    batch: Batch,
    probes: Mapping[str, Probe] | None,
) -> Iterator[tuple[str, _Decoded]]:
    prompt = batch.decoder_tokens.to(predictor.device)
    answer_ids = predictor.answer_ids
    for result in answer(
        predictor.model, predictor.tables, method, encoded, prompt, answer_ids, probes
    ):
        if any(map(math.isnan, result.log_probs)):
            raise _not_finite()
        decoded = _Decoded(
            (result.exit_layer,), (answer_ids[result.choice],), (1,), result.num_positions
        )
        yield predictor.task.answers[result.choice], decoded


def _not_finite() -> MueError:
    return MueError(
        "the model's scores are not finite: its weights are damaged, or its training diverged",
        "train it anew; a lower training.learning_rate diverges later",
    )


def _trace(sample_id: str, row: int, encoded: Encoded, decoder: _Decoded) -> Trace:
    return Trace(
        sample_id,
        {stream: layers[row] for stream, layers in encoded.exit_layers.items()},
        {stream: tokens[row] for stream, tokens in encoded.num_tokens.items()},
        decoder.exit_layers,
        len(decoder.tokens),
        decoder.num_hypotheses,
        decoder.num_positions,
    )
