"""Caption metrics as papers print them: BLEU-1..4, METEOR, ROUGE-L, CIDEr, SPICE.

The scorers are pycocoevalcap's, run one by one: its own runner loses every metric when one fails.
Its `Cider` is CIDEr-D, which papers call CIDEr.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycocoevalcap.bleu.bleu
import pycocoevalcap.cider.cider
import pycocoevalcap.rouge.rouge

from mue_cli.metrics import programs
from mue_cli.metrics.java import UnavailableError
from mue_cli.metrics.meteor import meteor
from mue_cli.metrics.programs import (
    METRICS,
    caption_tokenizer,
    check_known,
    find_meteor,
    find_spice_jars,
)
from mue_cli.metrics.spice import IMAGES_AT_A_TIME, spice
from mue_cli.metrics.tokenized import Tokenized, check_captions, notes_of, tokenized
from mue_cli.metrics.tokens import Tokenizer

Progress = Callable[[int, int, str], None]
"""progress(done, total, metric): steps done and in all, and the metric that is computed now."""


@dataclass(frozen=True)
class CaptionScores:
    """scores: metric -> value times 100; "BLEU" gives "BLEU-1" to "BLEU-4".

    per_image: metric -> image -> value times 100; BLEU and METEOR of the set come from summed
    counts, they are not the means of these. left_out: metric -> why it has no score. notes: what a
    reader of the scores has to know.
    """

    scores: dict[str, float]
    per_image: dict[str, dict[str, float]]
    left_out: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Score:
    """One metric of the set and of each image, as pycocoevalcap scales it."""

    name: str
    total: float
    each: Sequence[float]


@dataclass(frozen=True)
class _Means:
    """What scorers work with. spice_dir: where the user says CoreNLP is. report: told how many of
    SPICE's images are done.
    """

    tokenizer: Tokenizer
    spice_dir: Path | None
    report: Callable[[int], None]


def score_captions(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = METRICS,
    progress: Progress | None = None,
    spice_dir: Path | None = None,
) -> CaptionScores:
    """Score one caption per image against its references.

    predictions: image -> caption. references: image -> captions. Without Java, METEOR and SPICE are
    left out and the other metrics count plain tokens. spice_dir: folder with CoreNLP's jars. Raises
    DataError when the images differ or an image has no reference, MueError for an unknown metric
    and for a spice_dir without the jars.
    """
    check_captions(predictions, references)
    check_known(metrics)
    tokenizer = caption_tokenizer()
    captions = tokenized(tokenizer, predictions, references)
    results = CaptionScores({}, {}, {}, notes_of(tokenizer, captions, metrics))
    steps = _Steps(metrics, len(captions.images), progress or (lambda done, total, metric: None))
    means = _Means(tokenizer, spice_dir, steps.within)
    for metric in metrics:
        steps.begin(metric)
        try:
            _add(results, captions, _SCORERS[metric](captions, means))
        except UnavailableError as error:
            results.left_out[metric] = str(error)
    steps.end()
    return results


class _Steps:
    """Progress over metrics: one step each, SPICE one for each part of its images."""

    def __init__(self, metrics: Sequence[str], num_images: int, progress: Progress) -> None:
        self._sizes = {
            metric: -(-num_images // IMAGES_AT_A_TIME) if metric == "SPICE" else 1
            for metric in metrics
        }
        self._total, self._progress = sum(self._sizes.values()), progress
        self._done, self._metric = 0, ""

    def begin(self, metric: str) -> None:
        self._done += self._sizes.get(self._metric, 0)
        self._metric = metric
        self.within(0)

    def within(self, num_images: int) -> None:
        self._progress(self._done + -(-num_images // IMAGES_AT_A_TIME), self._total, self._metric)

    def end(self) -> None:
        self._progress(self._total, self._total, "")


def _bleu(captions: Tokenized, _: _Means) -> list[_Score]:
    references, predictions = _by_position(captions)
    totals, lists = pycocoevalcap.bleu.bleu.Bleu(4).compute_score(
        references, predictions, verbose=0
    )
    return [
        _Score(f"BLEU-{n}", total, each)
        for n, (total, each) in enumerate(zip(totals, lists, strict=True), start=1)
    ]


def _meteor(captions: Tokenized, means: _Means) -> list[_Score]:
    java, folder = find_meteor(means.tokenizer), programs.pycocoevalcap_folder() / "meteor"
    return [_Score("METEOR", *meteor(folder, java, captions.references, captions.predictions))]


def _rouge(captions: Tokenized, _: _Means) -> list[_Score]:
    return [
        _Score("ROUGE-L", *pycocoevalcap.rouge.rouge.Rouge().compute_score(*_by_position(captions)))
    ]


def _cider(captions: Tokenized, _: _Means) -> list[_Score]:
    return [
        _Score("CIDEr", *pycocoevalcap.cider.cider.Cider().compute_score(*_by_position(captions)))
    ]


def _spice(captions: Tokenized, means: _Means) -> list[_Score]:
    java, jars = find_spice_jars(means.tokenizer, means.spice_dir)
    return [
        _Score("SPICE", *spice(jars, java, captions.references, captions.predictions, means.report))
    ]


_SCORERS: Mapping[str, Callable[[Tokenized, _Means], list[_Score]]] = {
    "BLEU": _bleu,
    "METEOR": _meteor,
    "ROUGE-L": _rouge,
    "CIDEr": _cider,
    "SPICE": _spice,
}


def _by_position(captions: Tokenized) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Return references and predictions as pycocoevalcap wants them, keyed alike, in order."""
    return dict(enumerate(captions.references)), {
        i: [caption] for i, caption in enumerate(captions.predictions)
    }


def _add(results: CaptionScores, captions: Tokenized, scores: Iterable[_Score]) -> None:
    for score in scores:
        results.scores[score.name] = 100.0 * float(score.total)
        results.per_image[score.name] = {
            image: 100.0 * float(x) for image, x in zip(captions.images, score.each, strict=True)
        }
