"""Run a method over a dataset: predictions with their traces, scores and costs.

Shape letters: B rows, N layers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mue_cli.cost.flops import flops_reduction, method_reading
from mue_cli.cost.latency import LatencyPair, interleaved_samples
from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.data.batches import Batch, Tokenizer
from mue_cli.data.tasks import Task, clean_generated
from mue_cli.exits.methods import Method, full
from mue_cli.exits.trace import Trace
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import Encoded, encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.inference.walk import Probe
from mue_cli.metrics.bootstrap import mean_interval
from mue_cli.metrics.captioning import METRICS, RepeatedCider, score_captions
from mue_cli.metrics.entailment import score_entailment
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Subject:
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
        return [self.tokenizer.encode(" " + word)[0] for word in self.task.answers]


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
    subject: Subject, method: Method, batch: Batch, probes: Mapping[str, Probe] | None = None
) -> list[Prediction]:
    """Caption or answer every row of a batch under a method."""
    return decode_batch(
        subject, method, batch, encode_batch(subject, method, batch, probes), probes
    )


@torch.inference_mode()
def encode_batch(
    subject: Subject, method: Method, batch: Batch, probes: Mapping[str, Probe] | None = None
) -> Encoded:
    """Encode the pictures and texts of a batch under a method."""
    images, tokens = batch.images.to(subject.device), batch.source_tokens.to(subject.device)
    return encode(subject.model, subject.tables, method, images, tokens, probes=probes)


@torch.inference_mode()
def decode_batch(
    subject: Subject,
    method: Method,
    batch: Batch,
    encoded: Encoded,
    probes: Mapping[str, Probe] | None = None,
) -> list[Prediction]:
    """Caption or answer every row of a batch that was encoded."""
    decode = _answer if subject.task.answers else _caption
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
                decode(subject, method, encoded, batch, probes),
                strict=True,
            )
        )
    ]


def predict(
    subject: Subject,
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
        predictions += predict_batch(subject, method, batch, probes)
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
    subject: Subject,
    method: Method,
    encoded: Encoded,
    batch: Batch,
    probes: Mapping[str, Probe] | None,
) -> Iterator[tuple[str, _Decoded]]:
    for result in generate(subject.model, subject.tables, method, encoded, subject.search, probes):
        words = result.best.tokens
        decoded = _Decoded(tuple(result.exit_layers), words, tuple(result.num_hypotheses), 1)
        yield clean_generated(subject.tokenizer.decode(list(words[:-1]))), decoded


def _answer(
    subject: Subject,
    method: Method,
    encoded: Encoded,
    batch: Batch,
    probes: Mapping[str, Probe] | None,
) -> Iterator[tuple[str, _Decoded]]:
    prompt = batch.decoder_tokens.to(subject.device)
    answer_ids = subject.answer_ids
    for result in answer(
        subject.model, subject.tables, method, encoded, prompt, answer_ids, probes
    ):
        decoded = _Decoded(
            (result.exit_layer,), (answer_ids[result.choice],), (1,), result.num_positions
        )
        yield subject.task.answers[result.choice], decoded


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


@dataclass(frozen=True)
class Scores:
    """values: metric -> value as papers print it. interval: of the task's own metric, 95 %,
    bootstrap over samples. left_out: metric -> why. notes: what a reader has to know.
    """

    values: Mapping[str, float]
    interval: tuple[float, float] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def score(
    task: Task,
    predictions: Sequence[Prediction],
    metrics: Sequence[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    spice_dir: Path | None = None,
) -> Scores:
    """Score predictions with every metric of the task that this machine can run.

    metrics: of captions, by name; the task's own is always among them. progress: steps done and in
    all, and what is computed. spice_dir: folder with CoreNLP's jars.
    """
    if task.answers:
        result = score_entailment(
            {p.sample_id: p.text for p in predictions},
            {p.sample_id: p.references[0] for p in predictions},
        )
        values = {
            "accuracy": result.accuracy,
            **{f"accuracy of {answer}": value for answer, value in result.per_label.items()},
        }
        return Scores(
            values, mean_interval([100.0 * (p.text == p.references[0]) for p in predictions])
        )
    wanted = METRICS if metrics is None else tuple(dict.fromkeys((*metrics, task.metric)))
    texts, references = (
        {p.image_id: p.text for p in predictions},
        {p.image_id: p.references for p in predictions},
    )
    captions = score_captions(texts, references, wanted, progress, spice_dir)
    each = captions.per_image.get(task.metric)
    return Scores(
        captions.scores,
        mean_interval(list(each.values())) if each else None,
        captions.left_out,
        captions.notes,
    )


def quick_score(task: Task, batches: Iterable[Batch]) -> Callable[[Sequence[Prediction]], float]:
    """Return a scorer of the task's own metric for many runs over the same samples: references are
    prepared once.
    """
    if task.answers:
        return lambda predictions: (
            100.0 * sum(p.text == p.references[0] for p in predictions) / len(predictions)
        )
    cider = RepeatedCider(
        {
            image: refs
            for batch in batches
            for image, refs in zip(batch.image_ids, batch.references, strict=True)
        }
    )
    return lambda predictions: cider({p.image_id: p.text for p in predictions})


def costs(
    subject: Subject, method: Method, traces: Sequence[Trace], image_size: int
) -> dict[str, float]:
    """Return what the traces cost: expected reduction (Eq. 14), FLOPs and mean exit layers, named
    as in Record.costs.
    """
    config = subject.model.config
    expected = expected_time_reduction(traces, config.num_encoder_layers, config.num_decoder_layers)
    reading = method_reading(method, config, subject.num_classes)
    flops = flops_reduction(
        traces,
        config,
        image_size,
        method.asked("states"),
        method.skipped_layers,
        reading,
        method.unasked_steps,
    )
    return {
        "expected": expected.expected,
        "expected_token_weighted": expected.expected_token_weighted,
        "flops": flops.reduction,
        "gflops_per_sample": flops.mean.total / 1e9,
        **{f"{stream}_layers": layers for stream, layers in expected.encoder_layers.items()},
        "decoder_layers": expected.decoder_layers,
        "num_encoder_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
    }


def time_against_full(
    subject: Subject,
    method: Method,
    batches: Sequence[Batch],
    repeats: int = 3,
    progress: Progress | None = None,
) -> LatencyPair:
    """Time a method and `full`, the same walk and cache, turn by turn on each batch."""
    reference = full(method.decompose)
    synchronize = torch.cuda.synchronize if subject.device.type == "cuda" else None
    return interleaved_samples(
        batches,
        lambda batch: predict_batch(subject, method, batch),
        lambda batch: predict_batch(subject, reference, batch),
        repeats=repeats,
        synchronize=synchronize,
        progress=progress,
    )
