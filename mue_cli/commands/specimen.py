"""What `mue bench` measures: a model, trained or random, a method, and samples to run them on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mue_cli.commands.options import Experiment
from mue_cli.errors import MissingStepError, MueError

if TYPE_CHECKING:
    import torch

    from mue_cli.data.batches import Batch, Example
    from mue_cli.evaluation.predict import Subject
    from mue_cli.exits.methods import Method
    from mue_cli.recipe.recipe import Recipe

MADE_UP = "made-up pictures"
BY_LAYERS = "or name exit layers: --method static --set exits.image=3 --set exits.text=3 --set exits.decoder=3"


@dataclass(frozen=True)
class Specimen:
    """weights, data: where they come from, in words. thresholds: by stream; for static, exit
    layers.
    """

    recipe: "Recipe"
    subject: "Subject"
    weights: str
    method: "Method"
    thresholds: dict[str, float]
    data: str
    examples: "Sequence[Example]"

    def batch(self, numbers: Sequence[int]) -> "Batch":
        """Make a batch of some examples; numbers beyond the last start again at the first."""
        from mue_cli.experiment import build

        examples = [self.examples[number % len(self.examples)] for number in numbers]
        return build.batch(self.recipe, self.subject.tokenizer, examples)

    def timed_batches(self, count: int) -> "tuple[list[Batch], float]":
        """Return the first `count` examples as batches of one, and the mean time in ms of decoding,
        resizing and tokenising one.
        """
        start = time.perf_counter()
        batches = [self.batch([number]) for number in range(count)]
        return batches, 1000.0 * (time.perf_counter() - start) / count


def specimen(
    here: Experiment, method: str | None, random: str | None, device: "torch.device"
) -> Specimen:
    """Return what the options name. random: a preset, whose weights are drawn; None for those of
    the run or of --weights.

    Raises MueError when the method is `full`, MissingStepError without weights or, for mue,
    thresholds.
    """
    from mue_cli.commands.workbench import calibrated_method

    recipe = here.recipe
    name = method or ("static" if random else recipe.exits.method)
    if name == "full":
        raise MueError(
            "bench compares a method with full, and the recipe's exits.method is full",
            "add --method mue or --method static",
        )
    if name == "oracle":
        raise MueError(
            "the oracle is no method to run: its exits are found afterwards",
            "add --method mue or --method static",
        )
    if random and name != "static":
        raise MueError(
            "random weights have no thresholds", "leave out --method, or use --method static"
        )
    subject = _random(recipe, random, device) if random else _trained(here, device)
    thresholds = _thresholds(here, name, subject, halve=random is not None)
    examples, data = _examples(recipe, subject, made_up=random is not None)
    if (
        data == MADE_UP and not subject.task.answers
    ):  # how long they would get means nothing, and both programs must do the same steps
        subject = replace(
            subject, search=replace(subject.search, min_tokens=subject.search.max_tokens)
        )
    weights = (
        f"random weights of {random}" if random else here.run.weights or str(here.run.checkpoint)
    )
    chosen = calibrated_method(recipe, here.run, name, thresholds, device)
    return Specimen(recipe, subject, weights, chosen, thresholds, data, examples)


def _trained(here: Experiment, device: "torch.device") -> "Subject":
    from mue_cli.commands.workbench import trained_subject

    return trained_subject(here.recipe, here.run, device)


def _random(recipe: "Recipe", preset: str, device: "torch.device") -> "Subject":
    """Return a model of a size with weights that were drawn, and a vocabulary that knows little
    more than the questions' words.
    """
    from mue_cli.commands.workbench import make_subject
    from mue_cli.data.made_up import WORDS
    from mue_cli.experiment import build
    from mue_cli.model.config import RELEASED_VOCAB_SIZE
    from mue_cli.model.tokenizer import Tokenizer

    chosen = replace(recipe, model=replace(recipe.model, preset=preset, weights=None))
    model = build.new_model(chosen, RELEASED_VOCAB_SIZE).eval().to(device)
    build.settle_threads(model)
    return make_subject(model, Tokenizer.train([], 512, WORDS), recipe)


def _thresholds(here: Experiment, name: str, subject: "Subject", halve: bool) -> dict[str, float]:
    """Return thresholds as `mue evaluate` would. halve: exit layers that nobody named are half of
    the layers.
    """
    from mue_cli.commands.workbench import thresholds
    from mue_cli.experiment import build

    recipe, config = here.recipe, subject.model.config
    if halve:
        exits: dict[str, Any] = {
            stream: (
                config.num_decoder_layers if stream == "decoder" else config.num_encoder_layers
            )
            // 2
            for stream in build.streams(recipe)
        }
        recipe = replace(
            recipe, exits=replace(recipe.exits, **{**exits, **build.fixed_thresholds(recipe.exits)})
        )
    try:
        return thresholds(recipe, here.run, name)
    except MissingStepError as error:
        raise MissingStepError(error.message, f"{error.hint}; {BY_LAYERS}") from None


def _examples(
    recipe: "Recipe", subject: "Subject", made_up: bool
) -> "tuple[Sequence[Example], str]":
    """Return samples, and where they come from: `test` of the prepared data, made-up pictures where
    there is none.
    """
    from mue_cli.data.made_up import MadeUpExamples
    from mue_cli.experiment import build

    bare = recipe.data.prompt == "bare"
    most = max(recipe.evaluation.timed_samples, 1)
    if not made_up:
        try:
            prepared = build.data(recipe)
        except MissingStepError:
            made_up = True
    if made_up:
        return MadeUpExamples(subject.task, most, bare), MADE_UP
    return prepared.examples(subject.task, "test", bare=bare)[
        :most
    ], f"pictures of {prepared.manifest.name} test"
