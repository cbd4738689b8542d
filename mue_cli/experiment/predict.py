"""Predict for a user's own pictures: batches in, results out, in order."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from mue_cli.data.batches import Example, Tokenizer
from mue_cli.data.pictures import Picture, Unreadable, prepare_picture, read_pictures
from mue_cli.data.tasks.task import Question
from mue_cli.errors import DataError, MissingStepError
from mue_cli.evaluation.explain import Recorder
from mue_cli.evaluation.predict import Prediction, predict_batch
from mue_cli.exits.methods import Method
from mue_cli.experiment.experiment import Experiment
from mue_cli.reports.exit_strip import END, ExitStrip


@dataclass(frozen=True)
class PicturePrediction:
    """What came out for one picture.

    path: as the user named it. kind: caption or answer. text: that caption or answer. exit_layers:
    by stream; the decoder's are a list, one for each token. explanation, thumbnail: where they were
    asked for.
    """

    path: str
    kind: str
    prediction: Prediction
    explanation: ExitStrip | None = None
    thumbnail: bytes | None = None

    @property
    def text(self) -> str:
        return self.prediction.text

    @property
    def exit_layers(self) -> dict[str, object]:
        trace = self.prediction.trace
        return {**trace.encoder_exits, "decoder": list(trace.decoder_exits[: trace.num_words])}

    def as_json(self) -> dict[str, object]:
        """Return plain values, as `mue predict --json` prints them."""
        values = {"image": self.path, self.kind: self.text, "exit_layers": self.exit_layers}
        return {**values, **({"explain": self.explanation.as_json()} if self.explanation else {})}


def predict(
    experiment: Experiment,
    images: Sequence[Image | str | Path],
    method: str | None = None,
    hypothesis: str | None = None,
    premise: str | None = None,
) -> list[PicturePrediction]:
    """Caption pictures or, with a hypothesis, tell whether they support it.

    images: Pillow's, or paths of files. method: None for the recipe's exits.method. Raises
    DataError for one that cannot be read, MueError for a question that does not fit the task.
    """
    stream = PictureStream.of(experiment, method, Question(hypothesis, premise))
    size = experiment.recipe.data.image_size
    pictures: list[Picture | Unreadable] = []
    for number, image in enumerate(images):
        if isinstance(image, Image):
            pictures.append(prepare_picture(f"image {number + 1}", image, size))
        else:
            pictures += read_pictures([str(image)], size)
    results = []
    for result in stream.results(pictures):
        if isinstance(result, Unreadable):
            raise DataError(f"`{result.path}`: {result.reason}", "is it a picture?")
        results.append(result)
        experiment.progress("predict", len(results), len(pictures))
    return results


@dataclass(frozen=True)
class PictureStream:
    """An experiment's model under a method, with one question for every picture.

    source: the encoder's text. explains: whether it records the exit scores.
    """

    experiment: Experiment
    method: Method
    source: str
    explains: bool = False

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        method: str | None = None,
        question: Question | None = None,
        explains: bool = False,
    ) -> "PictureStream":
        """Open the model. Raises MissingStepError before training or calibration, MueError for a
        question that does not fit the task.
        """
        question = question or Question()
        question.check(experiment.task, experiment.recipe.name)
        source = experiment.task.source(question, experiment.recipe.data.prompt == "bare")
        name = method or experiment.recipe.exits.method
        experiment.predictor  # noqa: B018 - a missing checkpoint is reported before thresholds are
        try:
            chosen = experiment.method(name)
        except MissingStepError as error:
            hint = f"{error.hint}, or use --method full"
            raise MissingStepError(error.message, hint) from None
        return cls(experiment, chosen, source, explains)

    @property
    def title(self) -> str:
        return f"{self.experiment.recipe.name}, method {self.method.name}"

    def results(
        self, pictures: Iterable[Picture | Unreadable]
    ) -> Iterator[PicturePrediction | Unreadable]:
        """Yield what comes out for every picture, in order, a batch at a time."""
        waiting: list[Picture | Unreadable] = []
        size = self.experiment.recipe.evaluation.batch_size
        for picture in pictures:
            waiting.append(picture)
            if sum(isinstance(each, Picture) for each in waiting) == size:
                yield from self._of(waiting)
                waiting = []
        yield from self._of(waiting)

    def _of(
        self, waiting: Sequence[Picture | Unreadable]
    ) -> Iterator[PicturePrediction | Unreadable]:
        results = iter(self._predict([each for each in waiting if isinstance(each, Picture)]))
        for each in waiting:
            yield each if isinstance(each, Unreadable) else next(results)

    def _predict(self, pictures: Sequence[Picture]) -> list[PicturePrediction]:
        if not pictures:
            return []
        predictor, task = self.experiment.predictor, self.experiment.task
        config = predictor.model.config
        layers = (config.num_encoder_layers, config.num_decoder_layers)
        recorder = Recorder(self.method, *layers) if self.explains else None
        target = task.answers[0] if task.answers else ""  # a batch has one; nobody looks at it here
        examples = [
            Example(picture.path, picture.path, picture.image, self.source, target, ())
            for picture in pictures
        ]
        batch = self.experiment.collate(examples)
        probes = recorder.probes if recorder else None
        predictions = predict_batch(predictor, self.method, batch, probes)
        return [
            PicturePrediction(
                picture.path,
                task.result,
                prediction,
                recorder.explain(
                    row,
                    prediction.trace,
                    token_texts(prediction.tokens, self.experiment.predictor.tokenizer),
                )
                if recorder
                else None,
                picture.thumbnail,
            )
            for row, (picture, prediction) in enumerate(zip(pictures, predictions, strict=True))
        ]


def token_texts(tokens: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """Return tokens as text, spaces included, and END for the end of a caption."""
    return [END if token == tokenizer.eos_id else tokenizer.decode([token]) for token in tokens]


def json_line(result: PicturePrediction | Unreadable) -> str:
    """Return one line of `--json`. What is no UTF-8 in a file name becomes JSON's own escape."""
    if isinstance(result, Unreadable):
        values: dict[str, object] = {"image": result.path, "error": result.reason}
    else:
        values = result.as_json()
    text = json.dumps(values, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
