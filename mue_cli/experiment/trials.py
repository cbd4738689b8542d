"""Trials: settings of one method on the calibration samples of `val`.

Closed sets of answers are tabulated once, and every setting is read from the table, exactly;
captions are written anew for each setting, from encodings that are kept.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mue_cli.calibration.candidates import (
    Candidates,
    candidate_thresholds,
    candidates_at,
    first_above,
    without_decay,
)
from mue_cli.calibration.exit_table import ExitTable
from mue_cli.calibration.halves import Halves
from mue_cli.calibration.losses import by_picture, relative_drop, wrong_now
from mue_cli.calibration.measured import Measured, Setting
from mue_cli.calibration.settings import Settings
from mue_cli.evaluation.encoded_samples import EncodedSamples, merged_runs
from mue_cli.evaluation.exit_table import Answers, merged_answers, tabulate
from mue_cli.evaluation.sample_scores import SampleScores
from mue_cli.evaluation.spending import Spending, stream_weights
from mue_cli.exits.catalogue import MethodSpec
from mue_cli.exits.decay import Decay
from mue_cli.exits.methods import Method, exit_score
from mue_cli.exits.trace import Trace
from mue_cli.experiment.methods import make_method
from mue_cli.experiment.progress import counting
from mue_cli.experiment.trial_log import Answer, TrialLog

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

Array = NDArray[np.float64]

Situation = tuple[int, tuple[int, ...], tuple[float, ...] | None]
"""A sample, its exit layers in the encoder, and the decoder's threshold with what is searched of
its decay (None: it never leaves): all that a caption depends on. Settings that share it share it.
"""


@dataclass(frozen=True, eq=False)
class FullScores:
    """Exit scores of the full model. encoder: (n, N) by stream. decoder: (R, M), with the step and
    the sample of each row, (R,).
    """

    encoder: Mapping[str, Array]
    decoder: Array
    steps: NDArray[np.int64]
    samples: NDArray[np.int64]


class Trials:
    """Settings of one method, run on samples of a split; the full model has run already.

    predictions: the full model's, by sample. scores: its exit scores. halves: samples for the
    search, and fresh ones. table: None where text is generated.
    """

    def __init__(
        self,
        experiment: "Experiment",
        spec: MethodSpec,
        seed: int = 0,
        split: str = "val",
        samples: int | None = None,
    ) -> None:
        """seed: of the halves. samples: at most so many of the split (None: all)."""
        self.experiment, self.spec = experiment, spec
        self._examples = experiment.batches(split, samples).examples
        self.pictures = [self._examples.image_id(n) for n in range(len(self._examples))]
        self.halves = Halves.of(self.pictures, seed)
        self.table: ExitTable | None = None
        self._answers: Answers | None = None
        self._encoded: EncodedSamples | None = None
        self._log: TrialLog | None = None
        self._written: dict[Situation, Answer] = {}
        if experiment.task.answers:
            self._tabulate()
        else:
            self._run_full()

    # What the full model did.

    def _tabulate(self) -> None:
        order = self._own(sorted(range(self.num_samples), key=self._length))
        progress = counting(self.experiment.progress, "all exits", len(order))
        own = tabulate(
            self.experiment.predictor, self._never, self._make, self._parts(order), progress
        )
        answers = merged_answers(self.experiment.processes.gather(own))
        self._answers, self.table = answers, answers.table
        last = answers.table.decoder.reshape(self.num_samples, -1, answers.table.decoder.shape[-1])
        numbers = np.arange(self.num_samples)
        self.scores = FullScores(
            answers.table.encoder, last[:, -1], np.zeros_like(numbers), numbers
        )
        self.predictions = answers.predictions

    def _run_full(self) -> None:
        # Those of one half side by side: they are run together.
        order = self._own([*self.halves.search, *self.halves.fresh])
        size = self.experiment.recipe.evaluation.batch_size
        predictor = self.experiment.predictor
        self._encoded = EncodedSamples(predictor, self._never, self._make, order, size)
        progress = counting(self.experiment.progress, "full model", len(order))
        own = self._encoded.full(progress)
        full = merged_runs(self.experiment.processes.gather(own))
        self.scores = FullScores(full.encoder, full.decoder, full.steps, full.samples)
        self.predictions = full.predictions
        layers = dict.fromkeys(full.encoder, self.experiment.model.config.num_encoder_layers)
        for number, each in enumerate(full.predictions):
            self._written[number, tuple(layers.values()), None] = (each.text, each.trace)

    @property
    def num_samples(self) -> int:
        return len(self._examples)

    @property
    def passes(self) -> tuple[int, int]:
        """Samples that this process encoded and decoded so far, each time counted."""
        if self._answers is not None:
            own = len(self._own(range(self.num_samples)))
            return own, self._answers.num_decoded * own // self.num_samples
        assert self._encoded is not None
        return self._encoded.num_encoded, self._encoded.num_decoded

    def keep_log(self, log: TrialLog) -> None:
        """Remember answers in a file, and use those that it has."""
        self._log = log
        for setting, answers in log.all():
            for number, answer in answers.items():
                exits = {stream: answer[1].encoder_exits[stream] for stream in self.scores.encoder}
                self._written[self._situation(setting, number, exits)] = answer

    # Settings, and what they give.

    def settings(self, spending: Spending, how: Decay | None) -> Settings:
        """All candidate settings, from exit scores of the search's half. how: Eq. 11's decay."""
        weights = stream_weights(
            spending, self._never, [each.trace for each in self.predictions], self.streams
        )
        return Settings.of(self.candidates(how), weights)

    def candidates(self, how: Decay | None) -> dict[str, Candidates]:
        """Candidate thresholds by stream, from exit scores of the search's half."""
        rows = np.isin(self.scores.samples, self.halves.search)
        decoder = self.scores.decoder[rows]
        if self.spec.threshold == "agreement":
            return {"decoder": candidates_at(decoder, range(decoder.shape[1], 0, -1))}
        if how is not None:
            num_steps = self.experiment.recipe.search.max_tokens + 1
            decoder = without_decay(decoder, self.scores.steps[rows].tolist(), num_steps, how)
        search = list(self.halves.search)
        encoder = {name: each[search] for name, each in self.scores.encoder.items()}
        return {
            name: candidate_thresholds(each)
            for name, each in (encoder | {"decoder": decoder}).items()
        }

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that have a threshold, the decoder last."""
        return (*self.scores.encoder, "decoder")

    def measure(self, setting: Setting, samples: Sequence[int], spending: Spending) -> Measured:
        """A setting on some samples."""
        answers = self.answers(setting, samples)
        return self.score(setting, self.method(setting), answers, samples, spending)

    def score(
        self,
        setting: Setting,
        method: Method,
        answers: Sequence[Answer],
        samples: Sequence[int],
        spending: Spending,
    ) -> Measured:
        """Answers that a method gave to some samples, scored and counted."""
        scores = self._sample_scores(samples, [text for text, _ in answers])
        full = [self.predictions[number].trace for number in samples]
        spent = spending(method, [trace for _, trace in answers], full)
        return Measured(setting, scores, spent.spent, spent.whole)

    def fixed(
        self, method: Method, layers: Mapping[str, int], samples: Sequence[int]
    ) -> list[Answer]:
        """Captions of some samples under fixed layers."""
        exits = {name: np.full(self.num_samples, layer) for name, layer in layers.items()}
        answers = self._run(method, exits, samples)
        return [answers[number] for number in samples]

    def full(self, spending: Spending) -> Measured:
        """The full model on all samples."""
        traces = [each.trace for each in self.predictions]
        spent = spending(self._never, traces, traces)
        texts = [each.text for each in self.predictions]
        scores = self._sample_scores(range(self.num_samples), texts)
        return Measured(Setting({}), scores, spent.spent, spent.whole)

    def answers(self, setting: Setting, samples: Sequence[int]) -> list[Answer]:
        """Text and exits of some samples under a setting."""
        if self.table is not None:
            return self._look_up(setting, samples)
        exits = {
            stream: first_above(scores, [setting.thresholds[stream]])[0]
            for stream, scores in self.scores.encoder.items()
        }
        situations = {
            number: self._situation(setting, number, {s: int(e[number]) for s, e in exits.items()})
            for number in samples
        }
        missing = [number for number, each in situations.items() if each not in self._written]
        if missing:
            new = self._run(self.method(setting), exits, missing)
            self._written |= {situations[number]: answer for number, answer in new.items()}
            if self._log is not None:
                self._log.add(setting, new)
        return [self._written[situations[number]] for number in samples]

    def _situation(self, setting: Setting, number: int, exits: Mapping[str, int]) -> Situation:
        """All that a sample's caption depends on. exits: its own in the encoder."""
        theta = setting.thresholds["decoder"]
        largest = exit_score(self.spec).largest
        how = None if theta > largest else (theta, *setting.decay.values())
        return number, tuple(exits.values()), how

    def method(self, setting: Setting) -> Method:
        """The method under a setting."""
        recipe = self.experiment.recipe
        if setting.decay:
            recipe = replace(recipe, exits=replace(recipe.exits, **setting.decay))  # type: ignore[arg-type]
        head = self.experiment.exit_head(self.spec.name)
        return make_method(recipe, self.experiment.task, self.spec, setting.thresholds, head)

    def losses(self, setting: Setting, samples: Sequence[int]) -> Array:
        """Loss of each picture among the samples against the full model, in their order."""
        texts = [text for text, _ in self.answers(setting, samples)]
        full = [self.predictions[number].text for number in samples]
        loss = relative_drop if self.experiment.task.generates else wrong_now
        each = loss(self._loss_scores(samples, full), self._loss_scores(samples, texts))
        return by_picture(each, self.pictures_of(samples))

    @cached_property
    def table_losses(self) -> Array:
        """Loss of every sample at every combination of exit layers, of the table's shape."""
        assert self.table is not None
        scores = self.table.scores
        full = scores.reshape(len(scores), -1)[:, -1]
        return wrong_now(full.reshape(-1, *[1] * (scores.ndim - 1)), scores)

    @cached_property
    def unchanged(self) -> NDArray[np.bool_]:
        """Whether each sample's answer is the full model's, of the table's shape."""
        assert self._answers is not None
        choices = self._answers.choices
        full = choices.reshape(len(choices), -1)[:, -1]
        return choices == full.reshape(-1, *[1] * (choices.ndim - 1))

    @property
    def loss_name(self) -> str:
        """The loss in words, for the card."""
        generates = self.experiment.task.generates
        return (
            "relative drop of a picture's own CIDEr-D" if generates else "right before, wrong now"
        )

    def pictures_of(self, samples: Sequence[int]) -> list[str]:
        """Picture of each of the samples."""
        return [self.pictures[number] for number in samples]

    # Inside.

    def _look_up(self, setting: Setting, samples: Sequence[int]) -> list[Answer]:
        assert self.table is not None and self._answers is not None
        exits = self.table.exits(setting)
        words = self.experiment.task.answers
        return [
            (words[self._choice(exits, number)], self._trace_at(exits, number))
            for number in samples
        ]

    def _choice(self, exits: Mapping[str, NDArray[np.int64]], number: int) -> int:
        assert self._answers is not None
        return int(self._answers.choices[(number, *(each[number] - 1 for each in exits.values()))])

    def _trace_at(self, exits: Mapping[str, NDArray[np.int64]], number: int) -> Trace:
        full = self.predictions[number].trace
        layers = {stream: int(each[number]) for stream, each in exits.items()}
        decoder = layers.pop("decoder")
        return replace(
            full, encoder_exits={**full.encoder_exits, **layers}, decoder_exits=(decoder,)
        )

    def _run(
        self, method: Method, exits: Mapping[str, NDArray[np.int64]], samples: Sequence[int]
    ) -> dict[int, Answer]:
        assert self._encoded is not None
        own = self._encoded.run(method, exits, samples)
        answers = {number: (each.text, each.trace) for number, each in own.items()}
        return dict(ChainMap(*self.experiment.processes.gather(answers)))

    def _make(self, numbers: Sequence[int]):  # type: ignore[no-untyped-def]
        return self.experiment.collate([self._examples[number] for number in numbers])

    def _own(self, order: Sequence[int]) -> Sequence[int]:
        """The samples that this process runs."""
        return [order[place] for place in self.experiment.processes.share(len(order))]

    def _parts(self, order: Sequence[int]) -> list[Sequence[int]]:
        size = self.experiment.recipe.evaluation.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _length(self, number: int) -> int:
        return len(self.experiment.tokenizer.encode(self._examples.source(number)))

    @cached_property
    def _never(self) -> Method:
        """The method with rules that are only watched."""
        streams = self.spec.streams(self.experiment.recipe.model.decompose)
        return self.method(Setting(dict.fromkeys(streams, 1.0)))

    @cached_property
    def _sample_scores(self) -> SampleScores:
        return SampleScores(self.experiment.task, self.predictions)

    @cached_property
    def _loss_scores(self) -> SampleScores:
        """Scores whose words are weighed by the search's half alone: the other half tests them."""
        weighing = {self.pictures[number] for number in self.halves.search}
        return SampleScores(self.experiment.task, self.predictions, weighing)
