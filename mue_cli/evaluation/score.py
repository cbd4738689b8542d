"""Scores of predictions: the task's own metric, and what else can be had."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.calibration.bootstrap import Interval, mean_interval
from mue_cli.data.batches import Batch
from mue_cli.data.tasks import Task
from mue_cli.evaluation.predict import Prediction
from mue_cli.metrics.captioning import score_captions
from mue_cli.metrics.entailment import score_entailment
from mue_cli.metrics.programs import METRICS
from mue_cli.metrics.repeated_cider import RepeatedCider


@dataclass(frozen=True)
class Scores:
    """values: metric -> value as papers print it. each: the task's own metric of every sample, in
    order. pictures: of every sample, where several may show one. left_out: metric -> why. notes:
    what a reader has to know.
    """

    values: Mapping[str, float]
    each: tuple[float, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pictures: tuple[str, ...] | None = None

    @property
    def interval(self) -> Interval | None:
        """Bounds of the task's own metric, 95 %, bootstrap over pictures; None below two."""
        return mean_interval(self.each, self.pictures)

    def difference(self, full: "Scores") -> Interval | None:
        """Return the bounds of this score minus another of the same samples, paired; None below two
        pictures.
        """
        pairs = zip(self.each, full.each, strict=True)
        return mean_interval([one - other for one, other in pairs], self.pictures)


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
            values,
            tuple(100.0 * (p.text == p.references[0]) for p in predictions),
            pictures=tuple(p.image_id for p in predictions),
        )
    wanted = METRICS if metrics is None else tuple(dict.fromkeys((*metrics, task.metric)))
    texts, references = (
        {p.image_id: p.text for p in predictions},
        {p.image_id: p.references for p in predictions},
    )
    captions = score_captions(texts, references, wanted, progress, spice_dir)
    return Scores(
        captions.scores,
        tuple(captions.per_image.get(task.metric, {}).values()),
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
