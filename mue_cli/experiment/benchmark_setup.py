"""What a benchmark runs: a model, trained or random, a method, and samples."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mue_cli.calibration.precision import Precision
from mue_cli.data.batches import Batch, Example
from mue_cli.data.made_up import WORDS, MadeUpExamples
from mue_cli.errors import MissingStepError, MueError
from mue_cli.evaluation.predict import Predictor
from mue_cli.exits.catalogue import FULL, STATIC
from mue_cli.exits.methods import Method
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.methods import fixed_thresholds, make_method, spec_of
from mue_cli.experiment.models import new_model, settle_threads
from mue_cli.experiment.precision import with_precision
from mue_cli.experiment.stated import settled, thresholds_of
from mue_cli.model.config import RELEASED_VOCAB_SIZE
from mue_cli.model.ofa import OFA
from mue_cli.model.tokenizer import Tokenizer

MADE_UP = "made-up pictures"
BY_LAYERS = (
    "or name exit layers: --method static --set exits.image=3 --set exits.text=3 "
    "--set exits.decoder=3"
)


@dataclass(frozen=True)
class BenchmarkSetup:
    """A model under a method, with samples.

    weights, data: where they come from, in words. thresholds: by stream; for static, exit layers.
    model: in float32, as it was read or drawn. tokenizer: its own.
    """

    experiment: Experiment
    predictor: Predictor
    weights: str
    method: Method
    thresholds: dict[str, float]
    data: str
    examples: Sequence[Example]
    model: OFA
    tokenizer: Tokenizer

    def at(self, precision: Precision) -> tuple[Predictor, Method]:
        """Return the same model and method at a precision."""
        if precision == self.experiment.precision:
            return self.predictor, self.method
        other, spec = with_precision(self.experiment, precision), spec_of(self.method.name)
        predictor = other.predictor_of(self.model, self.tokenizer, self.predictor.search)
        head = other.exit_head(spec.name)
        return predictor, make_method(other.recipe, other.task, spec, self.thresholds, head)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Make a batch of some examples; numbers beyond the last start again at the first."""
        examples = [self.examples[number % len(self.examples)] for number in numbers]
        return self.experiment.collate(examples, self.tokenizer)

    def timed_batches(self, count: int) -> tuple[list[Batch], float]:
        """Return the first `count` examples as batches of one, and the mean time in ms of decoding,
        resizing and tokenising one.
        """
        start = time.perf_counter()
        batches = [self.batch([number]) for number in range(count)]
        return batches, 1000.0 * (time.perf_counter() - start) / count


def open_setup(experiment: Experiment, method: str | None, random: str | None) -> BenchmarkSetup:
    """Return what is benchmarked.

    method: None for the recipe's, with random weights static. random: a preset, whose weights are
    drawn; None for those of the run or of --weights. Raises MueError when the method is `full`,
    MissingStepError without weights or thresholds.
    """
    recipe, run = experiment.recipe, experiment.run
    if random and (run.weights or run.checkpoint.exists()):
        other = (
            "--weights names others" if run.weights else f"`{run.folder}` has its own checkpoint"
        )
        raise MueError(
            f"--random draws weights, and {other}", "leave one out, or name a new folder with --run"
        )
    spec = spec_of(method or (STATIC.name if random else recipe.exits.method))
    if spec is FULL:
        raise MueError(
            "bench compares a method with full, and the recipe's exits.method is full",
            "add --method mue or --method static",
        )
    if random and spec is not STATIC:
        raise MueError(
            "random weights have no thresholds", "leave out --method, or use --method static"
        )
    if random:
        model, tokenizer = _random(experiment, random)
        predictor = experiment.predictor_of(model, tokenizer)
    else:
        model, tokenizer = experiment.model, experiment.tokenizer
        predictor = experiment.predictor
    experiment = experiment if random else settled(experiment, spec.name)
    thresholds = _thresholds(experiment, spec.name, predictor, halve=random is not None)
    examples, data = _examples(experiment, made_up=random is not None)
    if data == MADE_UP and experiment.task.generates:
        # How long they would get means nothing, and both sides must do the same steps.
        search = replace(predictor.search, min_tokens=predictor.search.max_tokens)
        predictor = replace(predictor, search=search)
    weights = f"random weights of {random}" if random else run.weights or str(run.checkpoint)
    head = None if random else experiment.exit_head(spec.name)
    chosen = make_method(experiment.recipe, experiment.task, spec, thresholds, head)
    return BenchmarkSetup(
        experiment, predictor, weights, chosen, thresholds, data, examples, model, tokenizer
    )


def _random(experiment: Experiment, preset: str) -> tuple[OFA, Tokenizer]:
    """Return a model of a size with weights that were drawn, and a vocabulary that knows little
    more than the questions' words.
    """
    recipe = experiment.recipe
    chosen = replace(recipe, model=replace(recipe.model, preset=preset, weights=None))
    model = new_model(chosen, RELEASED_VOCAB_SIZE).eval().to(experiment.device)
    settle_threads(model)
    return model, Tokenizer.train([], 512, WORDS)


def _thresholds(
    experiment: Experiment, name: str, predictor: Predictor, halve: bool
) -> dict[str, float]:
    """Return thresholds as `mue evaluate` would.

    halve: exit layers, half of the layers where nobody named them.
    """
    recipe, config = experiment.recipe, predictor.model.config
    if halve:
        layers = {"decoder": config.num_decoder_layers}
        streams = STATIC.streams(recipe.model.decompose)
        half = {name: layers.get(name, config.num_encoder_layers) // 2 for name in streams}
        named = fixed_thresholds(recipe.exits)
        return {stream: float(named.get(stream, half[stream])) for stream in streams}
    try:
        return thresholds_of(experiment, name)
    except MissingStepError as error:
        raise MissingStepError(error.message, f"{error.hint}; {BY_LAYERS}") from None


def _examples(experiment: Experiment, made_up: bool) -> tuple[Sequence[Example], str]:
    """Return samples, and where they come from: `test` of the prepared data, made-up pictures where
    there is none.

    Raises MissingStepError where the recipe names a place and something else lies there.
    """
    recipe, task = experiment.recipe, experiment.task
    bare, most = recipe.data.prompt == "bare", max(recipe.evaluation.timed_samples, 1)
    if not made_up:
        try:
            data = experiment.data
        except MissingStepError as error:
            made_up = True
            if recipe.data.root is not None:
                if os.path.lexists(recipe.data.root):
                    raise
                note = f"note: {error.message}: {MADE_UP} are timed"
                experiment.progress("bench", 0, 0, note)
    if made_up:
        return MadeUpExamples(task, most, bare), MADE_UP
    return data.examples(task, "test", bare=bare)[:most], f"pictures of {data.manifest.name} test"
