"""Caption metrics as papers print them: BLEU-1..4, METEOR, ROUGE-L, CIDEr, SPICE.

The scorers are pycocoevalcap's, run one by one: its own runner loses every metric when one fails.
Its `Cider` is CIDEr-D, which papers call CIDEr.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycocoevalcap.bleu.bleu
import pycocoevalcap.cider.cider
import pycocoevalcap.rouge.rouge

from mue_cli.errors import DataError, MueError
from mue_cli.metrics.cider import CiderD, DocumentFrequencies
from mue_cli.metrics.java import UnavailableError
from mue_cli.metrics.meteor import meteor, meteor_files
from mue_cli.metrics.spice import IMAGES_AT_A_TIME, SpiceJars, find_spice, spice
from mue_cli.metrics.tokens import Tokenizer, choose_tokenizer

Progress = Callable[[int, int, str], None]
"""progress(done, total, metric): steps done and in all, and the metric that is computed now."""

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE")

_SINGLE_IMAGE = (
    "CIDEr is 0 by definition for a single image: it weighs words by how few images have them"
)


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
class _Tokenized:
    """Tokenised captions of the images, all in one order."""

    images: tuple[str, ...]
    references: list[list[str]]
    predictions: list[str]


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
    _check(predictions, references)
    _check_known(metrics)
    tokenizer = caption_tokenizer()
    captions = _tokenize(tokenizer, predictions, references)
    results = CaptionScores({}, {}, {}, _notes(tokenizer, captions, metrics))
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


class RepeatedCider:
    """CIDEr of many sets of captions against the same references, as calibration and validation
    need it.

    The references are tokenised and weighted once. notes: as in CaptionScores. Raises DataError as
    `score_captions` does.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[str]],
        weighing: Collection[str] | None = None,
    ) -> None:
        """weighing: images whose references give words their weights; None for all."""
        _check(references, references)
        self._tokenizer = caption_tokenizer()
        self._images = tuple(references)
        tokenized = _tokenize_references(self._tokenizer, references)
        weigh = tokenized if weighing is None else {image: tokenized[image] for image in weighing}
        self._cider = CiderD(tokenized, DocumentFrequencies.of(weigh))
        self.notes = tuple(_tokenizer_notes(self._tokenizer)) + (
            (_SINGLE_IMAGE,) if len(references) == 1 else ()
        )

    def __call__(self, predictions: Mapping[str, str]) -> float:
        """Return CIDEr times 100."""
        per_image = self.per_image(predictions)
        return sum(per_image.values()) / len(per_image)

    def per_image(self, predictions: Mapping[str, str]) -> dict[str, float]:
        """Return CIDEr times 100 of each image."""
        _check_images(predictions, self._images)
        lines = self._tokenizer([predictions[image] for image in self._images])
        scores = self._cider.per_image(dict(zip(self._images, lines, strict=True)))
        return {image: 100.0 * score for image, score in scores.items()}


def check_metrics(metrics: Sequence[str], spice_dir: Path | None = None) -> None:
    """Raise MueError, before any long work, for a metric that is unknown or cannot be had, and for
    a spice_dir that does not fit.
    """
    _check_known(metrics)
    tokenizer = caption_tokenizer()
    finders: dict[str, Callable[[Tokenizer], object]] = {
        "METEOR": find_meteor,
        "SPICE": lambda tokenizer: find_spice_jars(tokenizer, spice_dir),
    }
    for name, find in finders.items():
        if metrics and name not in metrics and spice_dir is None:
            continue  # where its files should be is of no concern
        try:
            find(tokenizer)
        except UnavailableError as error:
            if name in metrics:
                raise MueError(
                    f"{name} was asked for and cannot be had: {error.reason}", error.fix
                ) from None


def find_meteor(tokenizer: Tokenizer) -> str:
    """Return the Java that runs METEOR. Raises UnavailableError when there is none, or METEOR's
    files are absent.
    """
    meteor_files(_package() / "meteor")
    return _java_of(tokenizer, "METEOR")


def find_spice_jars(tokenizer: Tokenizer, folder: Path | None = None) -> tuple[str, SpiceJars]:
    """Return the Java that runs SPICE and its jars. Raises as `find_spice`, and UnavailableError
    without Java.
    """
    jars = find_spice(_package() / "spice", folder)
    return _java_of(tokenizer, "SPICE"), jars


def caption_tokenizer() -> Tokenizer:
    """Return the PTB tokeniser of pycocoevalcap's jar, or the plain one without Java."""
    return choose_tokenizer(_package() / "tokenizer" / "stanford-corenlp-3.4.1.jar")


def _java_of(tokenizer: Tokenizer, metric: str) -> str:
    if tokenizer.java is None:
        lack = tokenizer.lack or UnavailableError("Java was not found")
        raise UnavailableError(f"{metric} needs Java. {lack.reason}", lack.fix)
    return tokenizer.java


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


def _check_known(metrics: Sequence[str]) -> None:
    for metric in metrics:
        if metric not in METRICS:
            raise MueError(f"unknown metric {metric!r}", f"there are {', '.join(METRICS)}")


def _check(predictions: Iterable[str], references: Mapping[str, Sequence[str]]) -> None:
    if not references:
        raise DataError("there are no references to score captions against")
    for image, captions in references.items():
        if isinstance(captions, str) or not captions:
            raise DataError(
                f"image {image} has no list of reference captions",
                "every scored image needs at least one",
            )
    _check_images(predictions, references)


def _check_images(predictions: Iterable[str], references: Iterable[str]) -> None:
    predicted, expected = set(predictions), set(references)
    if predicted == expected:
        return
    missing, extra = sorted(expected - predicted), sorted(predicted - expected)
    parts = [
        f"{len(ids)} images {what} (first: {ids[0]})"
        for ids, what in ((missing, "lack a caption"), (extra, "lack references"))
        if ids
    ]
    raise DataError(
        "captions and references are of different images: " + "; ".join(parts),
        "score exactly the images that were captioned",
    )


def _tokenize(
    tokenizer: Tokenizer, predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> _Tokenized:
    images = tuple(references)
    lines = _tokenize_references(tokenizer, references)
    return _Tokenized(
        images,
        [lines[image] for image in images],
        tokenizer([predictions[image] for image in images]),
    )


def _tokenize_references(
    tokenizer: Tokenizer, references: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    lines = iter(tokenizer([caption for captions in references.values() for caption in captions]))
    return {image: [next(lines) for _ in captions] for image, captions in references.items()}


def _notes(tokenizer: Tokenizer, captions: _Tokenized, metrics: Sequence[str]) -> tuple[str, ...]:
    notes = _tokenizer_notes(tokenizer)
    if len(captions.images) == 1 and "CIDEr" in metrics:
        notes.append(_SINGLE_IMAGE)
    empty = sum(not line for line in captions.predictions)
    if empty:
        notes.append(
            f"{empty} of {len(captions.images)} captions have no word: they score 0, "
            "and METEOR of the set passes over them"
        )
    empty = sum(not line for lines in captions.references for line in lines)
    if empty:
        notes.append(f"{empty} reference captions have no word")
    return tuple(notes)


def _tokenizer_notes(tokenizer: Tokenizer) -> list[str]:
    if tokenizer.lack is None:
        return []
    return [
        "plain tokens instead of PTB, so scores are not quite comparable with published ones: "
        f"{tokenizer.lack}"
    ]


def _bleu(captions: _Tokenized, _: _Means) -> list[_Score]:
    references, predictions = _by_position(captions)
    totals, lists = pycocoevalcap.bleu.bleu.Bleu(4).compute_score(
        references, predictions, verbose=0
    )
    return [
        _Score(f"BLEU-{n}", total, each)
        for n, (total, each) in enumerate(zip(totals, lists, strict=True), start=1)
    ]


def _meteor(captions: _Tokenized, means: _Means) -> list[_Score]:
    java = find_meteor(means.tokenizer)
    return [
        _Score(
            "METEOR",
            *meteor(_package() / "meteor", java, captions.references, captions.predictions),
        )
    ]


def _rouge(captions: _Tokenized, _: _Means) -> list[_Score]:
    return [
        _Score("ROUGE-L", *pycocoevalcap.rouge.rouge.Rouge().compute_score(*_by_position(captions)))
    ]


def _cider(captions: _Tokenized, _: _Means) -> list[_Score]:
    return [
        _Score("CIDEr", *pycocoevalcap.cider.cider.Cider().compute_score(*_by_position(captions)))
    ]


def _spice(captions: _Tokenized, means: _Means) -> list[_Score]:
    java, jars = find_spice_jars(means.tokenizer, means.spice_dir)
    return [
        _Score("SPICE", *spice(jars, java, captions.references, captions.predictions, means.report))
    ]


_SCORERS: Mapping[str, Callable[[_Tokenized, _Means], list[_Score]]] = {
    "BLEU": _bleu,
    "METEOR": _meteor,
    "ROUGE-L": _rouge,
    "CIDEr": _cider,
    "SPICE": _spice,
}


def _by_position(captions: _Tokenized) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Return references and predictions as pycocoevalcap wants them, keyed alike, in order."""
    return dict(enumerate(captions.references)), {
        i: [caption] for i, caption in enumerate(captions.predictions)
    }


def _add(results: CaptionScores, captions: _Tokenized, scores: Iterable[_Score]) -> None:
    for score in scores:
        results.scores[score.name] = 100.0 * float(score.total)
        results.per_image[score.name] = {
            image: 100.0 * float(x) for image, x in zip(captions.images, score.each, strict=True)
        }


def _package() -> Path:
    """Return pycocoevalcap's folder, which holds the jars."""
    return Path(pycocoevalcap.bleu.bleu.__file__).parents[1]
