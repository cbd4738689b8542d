"""Predict for a user's own pictures: batches in, results out, in order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL.Image import Image

from mue_cli.data.batches import Example, Tokenizer
from mue_cli.data.pictures import Picture, Unreadable, prepare_picture, read_pictures
from mue_cli.data.tasks.task import Question
from mue_cli.errors import DataError, MissingStepError, MueError
from mue_cli.evaluation.explain import Recorder
from mue_cli.evaluation.predict import Prediction, predict_batch
from mue_cli.exits.catalogue import FULL, encoder_streams
from mue_cli.exits.methods import Method
from mue_cli.experiment.answer_file import REMARK, json_text
from mue_cli.experiment.beside import Beside, timed
from mue_cli.experiment.experiment import Experiment
from mue_cli.reports.exit_strip import END, ExitStrip


@dataclass(frozen=True)
class PicturePrediction:
    """What came out for one picture.

    path: as the user named it. kind: caption or answer. text: that caption or answer. exit_layers:
    by stream; the decoder's are a list, one for each token. explanation, thumbnail, beside (the
    full model's): where they were asked for. remark: what is wrong with the picture. cut: what was
    not asked of a long question.
    """

    path: str
    kind: str
    prediction: Prediction
    explanation: ExitStrip | None = None
    thumbnail: bytes | None = None
    beside: Beside | None = None
    remark: str | None = None
    cut: str | None = None

    @property
    def text(self) -> str:
        return self.prediction.text

    @property
    def exit_layers(self) -> dict[str, object]:
        trace = self.prediction.trace
        return {**trace.encoder_exits, "decoder": list(trace.decoder_exits[: trace.num_words])}

    def as_json(self) -> dict[str, object]:
        """Return plain values, as `mue predict --json` prints them."""
        values: dict[str, object] = {
            "image": self.path,
            self.kind: self.text,
            "exit_layers": self.exit_layers,
        }
        if self.beside:
            values |= {f"full {self.kind}": self.beside.text, "same": self.beside.text == self.text}
            values |= {"ms": self.beside.ms, "full ms": self.beside.full_ms}
        if remarks := [each for each in (self.remark, self.cut) if each]:
            values[REMARK] = "; ".join(remarks)
        return {**values, **({"explain": self.explanation.as_json()} if self.explanation else {})}


def values(result: PicturePrediction | Unreadable) -> dict[str, object]:
    """Return what is written of a picture, an error of one that could not be read."""
    if isinstance(result, Unreadable):
        return {"image": result.path, "error": result.reason}
    return result.as_json()


def json_line(result: PicturePrediction | Unreadable) -> str:
    """Return one line of `--json`."""
    return json_text(values(result))


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

    source: the encoder's text. explains: whether it records the exit scores. full: the full model,
    where each answer is compared and timed with its. cut: what is not asked of a long question.
    """

    experiment: Experiment
    method: Method
    source: str
    explains: bool = False
    full: Method | None = None
    cut: str | None = None

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        method: str | None = None,
        question: Question | None = None,
        explains: bool = False,
        compares: bool = False,
    ) -> "PictureStream":
        """Open the model. Raises MissingStepError before training or calibration, MueError for a
        question that does not fit the task, or a method compared with itself.
        """
        question = question or Question()
        question.check(experiment.task, experiment.recipe.name)
        source = experiment.task.source(question, experiment.recipe.data.prompt == "bare")
        name = method or experiment.recipe.exits.method
        if compares and (name == FULL.name or explains):
            raise MueError(
                "--compare times a method with early exits beside the full model",
                "leave out --method full, --explain and --html",
            )
        tokenizer = experiment.predictor.tokenizer  # a missing checkpoint comes before thresholds
        cut = _cut(experiment, question, len(tokenizer.encode(source)))
        try:
            chosen = experiment.method(name)
        except MissingStepError as error:
            hint = f"{error.hint}, or use --method full"
            raise MissingStepError(error.message, hint) from None
        full = experiment.method(FULL.name, {}) if compares else None
        return cls(experiment, chosen, source, explains, full, cut)

    @property
    def title(self) -> str:
        return f"{self.experiment.recipe.name}, method {self.method.name}"

    @property
    def columns(self) -> list[str]:
        """The columns of a table of answers."""
        kind = self.experiment.task.result
        beside = [f"full {kind}", "same", "ms", "full ms"] if self.full else []
        streams = (*encoder_streams(self.experiment.recipe.model.decompose), "decoder")
        return ["image", kind, *beside, *(f"{stream} layer" for stream in streams), "error", REMARK]

    @property
    def settings(self) -> dict[str, object]:
        """What the answers depend on, by name."""
        recipe, name = self.experiment.recipe, self.method.name
        conditions = asdict(self.experiment.conditions(name))
        weights = conditions.pop("fingerprint")
        conditions.pop("prompt")  # the question says it
        conditions = {**conditions, "search": asdict(recipe.search), "weights": weights}
        data = {
            "question": self.source,
            "image_size": recipe.data.image_size,
            "max_source_tokens": recipe.data.max_source_tokens,
        }
        thresholds = self.experiment.thresholds(name)
        shown = {"explain": self.explains, "compare": self.full is not None}
        return {"method": name, "thresholds": thresholds, **conditions, **data, **shown}

    def results(
        self, pictures: Iterable[Picture | Unreadable]
    ) -> Iterator[PicturePrediction | Unreadable]:
        """Yield what comes out for every picture, in order."""
        for batch in self.batches(pictures):
            yield from batch

    def batches(
        self, pictures: Iterable[Picture | Unreadable], begun: int = 0
    ) -> Iterator[list[PicturePrediction | Unreadable]]:
        """Yield what comes out, in order, a batch at a time; the first are small, so that something
        comes soon.

        begun: pictures that an earlier run did; the batches are then those it would have gone on
        with, and rounding is the same.
        """
        waiting: list[Picture | Unreadable] = []
        sizes = _sizes(self.experiment.recipe.evaluation.batch_size, begun, self.full is not None)
        size, cold = next(sizes), self.full is not None
        for picture in pictures:
            waiting.append(picture)
            if len(waiting) == size:
                if cold:
                    self._of(waiting)  # the first run is slower than those after it
                    cold = False
                yield self._of(waiting)
                waiting, size = [], next(sizes)
        if waiting:
            yield self._of(waiting)

    def _of(self, waiting: Sequence[Picture | Unreadable]) -> list[PicturePrediction | Unreadable]:
        pictures = [each for each in waiting if isinstance(each, Picture)]
        predicted = self._beside_full if self.full else self._predict
        results = iter(predicted(pictures) if pictures else [])
        return [each if isinstance(each, Unreadable) else next(results) for each in waiting]

    def _beside_full(self, pictures: Sequence[Picture]) -> list[PicturePrediction]:
        """Predict with the method and the full model, timed turn by turn."""
        assert self.full is not None
        full = replace(self, method=self.full, full=None)
        first, second, times = timed(
            lambda: self._predict(pictures), lambda: full._predict(pictures), self.experiment.device
        )
        return [
            replace(early, beside=Beside(deep.text, *times))
            for early, deep in zip(first, second, strict=True)
        ]

    def _predict(self, pictures: Sequence[Picture]) -> list[PicturePrediction]:
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
                remark=picture.remark,
                cut=self.cut,
            )
            for row, (picture, prediction) in enumerate(zip(pictures, predictions, strict=True))
        ]


def _cut(experiment: Experiment, question: Question, num_tokens: int) -> str | None:
    """Return in words what the model does not read of a question. num_tokens: of its source."""
    limit, cut = experiment.recipe.data.max_source_tokens, experiment.task.cut(question)
    if num_tokens <= limit:
        return cut
    tokens = f"the question has {num_tokens} tokens, the first {limit} are read"
    return f"{cut}; {tokens}" if cut else f"{tokens}: shorten it, or raise data.max_source_tokens"


def _sizes(largest: int, begun: int, singly: bool) -> Iterator[int]:
    """Yield the sizes of batches: 1, 2, 4 and so on up to the largest, from the place where
    `begun` pictures are done.
    """
    end = size = 1
    while True:
        if end > begun:
            yield 1 if singly else end - max(begun, end - size)
        size = min(2 * size, largest)
        end += size


def token_texts(tokens: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """Return tokens as text, spaces included, and END for the end of a caption."""
    return [END if token == tokenizer.eos_id else tokenizer.decode([token]) for token in tokens]
