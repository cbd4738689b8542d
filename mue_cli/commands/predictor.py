"""A model that is asked about a user's own pictures: batches in, results out, in order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mue_cli.data.pictures import Picture, Unreadable

if TYPE_CHECKING:
    from mue_cli.data.batches import Batch
    from mue_cli.evaluation.predict import Prediction, Subject
    from mue_cli.exits.methods import Method
    from mue_cli.recipe.recipe import Recipe
    from mue_cli.reports.exit_strip import ExitStrip


@dataclass(frozen=True)
class Result:
    """What came out for one picture. kind: caption or answer. explanation, thumbnail: where they
    were asked for.
    """

    path: str
    kind: str
    prediction: "Prediction"
    explanation: "ExitStrip | None" = None
    thumbnail: bytes | None = None

    @property
    def text(self) -> str:
        return self.prediction.text

    def as_json(self) -> dict[str, object]:
        """Return the line of `--json`. exit_layers of the decoder: one for each token of the
        answer.
        """
        trace = self.prediction.trace
        exits = {**trace.encoder_exits, "decoder": list(trace.decoder_exits[: trace.num_words])}
        said = {self.kind: self.text, "exit_layers": exits}
        return {
            "image": self.path,
            **said,
            **({"explain": self.explanation.as_json()} if self.explanation else {}),
        }


@dataclass(frozen=True)
class Predictor:
    """A model with a method and a question. source: the encoder's text. explains: whether it
    records what the rules saw.
    """

    recipe: "Recipe"
    subject: "Subject"
    method: "Method"
    source: str
    explains: bool = False

    @property
    def title(self) -> str:
        return f"{self.recipe.name}, method {self.method.name}"

    def results(self, pictures: Iterable[Picture | Unreadable]) -> Iterator[Result | Unreadable]:
        """Yield what comes out for every picture, in order, a batch at a time."""
        waiting: list[Picture | Unreadable] = []
        for picture in pictures:
            waiting.append(picture)
            if (
                sum(isinstance(each, Picture) for each in waiting)
                == self.recipe.evaluation.batch_size
            ):
                yield from self._of(waiting)
                waiting = []
        yield from self._of(waiting)

    def _of(self, waiting: Sequence[Picture | Unreadable]) -> Iterator[Result | Unreadable]:
        results = iter(self._predict([each for each in waiting if isinstance(each, Picture)]))
        for each in waiting:
            yield each if isinstance(each, Unreadable) else next(results)

    def _predict(self, pictures: Sequence[Picture]) -> list[Result]:
        from mue_cli.evaluation.explain import Recorder
        from mue_cli.evaluation.predict import predict_batch

        if not pictures:
            return []
        config = self.subject.model.config
        recorder = (
            Recorder(self.method, config.num_encoder_layers, config.num_decoder_layers)
            if self.explains
            else None
        )
        predictions = predict_batch(
            self.subject, self.method, self._batch(pictures), recorder.probes if recorder else None
        )
        return [
            Result(
                picture.path,
                "answer" if self.subject.task.answers else "caption",
                prediction,
                recorder.explain(row, prediction.trace, self._tokens(prediction))
                if recorder
                else None,
                picture.thumbnail,
            )
            for row, (picture, prediction) in enumerate(zip(pictures, predictions, strict=True))
        ]

    def _batch(self, pictures: Sequence[Picture]) -> "Batch":
        from mue_cli.data.batches import Example
        from mue_cli.experiment import build

        task = self.subject.task
        target = task.answers[0] if task.answers else ""  # a batch has one; nobody looks at it here
        examples = [
            Example(picture.path, picture.path, picture.image, self.source, target, ())
            for picture in pictures
        ]
        return build.batch(self.recipe, self.subject.tokenizer, examples)

    def _tokens(self, prediction: "Prediction") -> list[str]:
        from mue_cli.reports.exit_strip import END

        tokenizer = self.subject.tokenizer
        return [
            END if token == tokenizer.eos_id else tokenizer.decode([token])
            for token in prediction.tokens
        ]
