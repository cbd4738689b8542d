"""One experiment: a recipe, its run folder, and what they name, opened when first used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mue_cli.experiment.progress import Progress, silent
from mue_cli.experiment.resolve import resolve
from mue_cli.experiment.run_folder import Run
from mue_cli.recipe.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mue_cli.calibration.goal import By, TestName
    from mue_cli.calibration.precision import Precision
    from mue_cli.data.batches import Batch, Example
    from mue_cli.data.store.prepared import PreparedData
    from mue_cli.data.tasks import Task
    from mue_cli.evaluation.predict import Predictor
    from mue_cli.exits.methods import Method
    from mue_cli.experiment.batches import Batches
    from mue_cli.experiment.benchmark import Benchmark
    from mue_cli.experiment.calibrate import Calibrated
    from mue_cli.experiment.conditions import Conditions
    from mue_cli.experiment.evaluate import Evaluated
    from mue_cli.experiment.exit_heads import TrainedHead
    from mue_cli.experiment.predict import PicturePrediction
    from mue_cli.experiment.training_run import Finetuned
    from mue_cli.model.ofa import OFA
    from mue_cli.model.pretrained import Pretrained
    from mue_cli.model.tokenizer import Tokenizer
    from mue_cli.recipe.recipe import SearchSection
    from mue_cli.reports.depth_scores import DepthScores
    from mue_cli.reports.exit_grid import ExitGrid
    from mue_cli.training.processes import Processes


@dataclass(frozen=True)
class Experiment:
    """A recipe and its run folder, with data, model and exit heads behind them.

    recipe: the experiment as data. run: what earlier procedures left, and where the next ones
    write. device_name: auto, cpu or cuda. progress: told how far long work is; see `Progress`.
    """

    recipe: Recipe
    run: Run
    device_name: str = "auto"
    progress: Progress = field(default=silent, compare=False)

    @classmethod
    def open(
        cls,
        recipe: str | Path | None = None,
        run: str | Path | None = None,
        device: str = "auto",
        weights: str | None = None,
        overrides: Sequence[str] = (),
        seed: int | None = None,
        trained: bool = True,
        progress: Progress = silent,
    ) -> "Experiment":
        """Return the experiment that names mean; nothing heavy is opened yet.

        recipe: a name or a YAML file; None for the run's own, else shapes-caption. run: the run
        folder, None for runs/<recipe name>. weights: a file, folder or hub id to use instead of the
        run's checkpoint. overrides: "section.key=value" each. seed: replaces the recipe's. trained:
        False for a training from nothing, where the run's recipe.yaml does not count. Raises
        RecipeError, MueError.
        """
        name = None if recipe is None else str(recipe)
        folder = None if run is None else Path(run)
        wanted, here = resolve(name, overrides, folder, seed, trained, weights)
        return cls(wanted, here, device, progress)

    # What the recipe and the run name, opened once.

    @cached_property
    def task(self) -> "Task":
        """What is done with a picture: the recipe's task."""
        from mue_cli.data.tasks import TASKS

        return TASKS[self.recipe.task]

    @cached_property
    def device(self) -> "torch.device":
        """Where to compute. Raises MueError for a device that is not there."""
        from mue_cli.experiment.models import find_device

        return find_device(self.device_name)

    @cached_property
    def processes(self) -> "Processes":
        """The processes that `torchrun` started, this one among them; without it, this one."""
        from mue_cli.training.processes import join

        return join(self.device)

    @cached_property
    def data(self) -> "PreparedData":
        """The prepared data. Raises MissingStepError before `mue prepare`."""
        from mue_cli.experiment.opened_data import open_data

        return open_data(self.recipe.data, self.progress)

    @cached_property
    def weights(self) -> "Pretrained":
        """The trained weights: those that `--weights` names, else the run's checkpoint.

        Raises MissingStepError before `mue finetune`.
        """
        from mue_cli.model.pretrained import Pretrained, find_pretrained

        if self.run.weights is not None:
            return find_pretrained(self.run.weights)
        checkpoint = Pretrained(self.run.need(self.run.checkpoint, "finetune"))
        self.run.need(self.run.tokenizer, "finetune")
        return checkpoint

    def need_trained(self) -> None:
        """Raise MissingStepError, naming the command, before `mue prepare` or `mue finetune`."""
        self.data  # noqa: B018 - opened for its error
        self.weights  # noqa: B018

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The vocabulary of the trained weights."""
        from mue_cli.model.vocabulary import load_vocabulary

        return load_vocabulary(self.weights.folder)

    @cached_property
    def starting_tokenizer(self) -> "Tokenizer":
        """The vocabulary of a training: the starting weights', else the prepared data's own."""
        from mue_cli.model.pretrained import find_pretrained
        from mue_cli.model.tokenizer import Tokenizer
        from mue_cli.model.vocabulary import load_vocabulary

        if self.recipe.model.weights is not None:
            return load_vocabulary(find_pretrained(self.recipe.model.weights).folder)
        return Tokenizer.load(self.data.tokenizer_path)

    @cached_property
    def model(self) -> "OFA":
        """The trained model in float32, in evaluation mode, on the device."""
        from mue_cli.experiment.models import (
            check_fits,
            check_vocabulary,
            pretrained_model,
            settle_threads,
        )
        from mue_cli.model import checkpoint

        if self.run.weights:
            model = pretrained_model(self.recipe, self.weights, self.device)
        else:
            model = checkpoint.load(self.weights.weights, self.device)
        check_fits(self.recipe, model.config)
        check_vocabulary(model, self.tokenizer.vocab_size, self.weights.weights)
        settle_threads(model)
        return model

    @cached_property
    def predictor(self) -> "Predictor":
        """The trained model ready to answer, at the recipe's precision; no prepared data needed."""
        return self.predictor_of(self.model, self.tokenizer)

    @cached_property
    def precision(self) -> "Precision":
        """Number format of inference: the recipe's, for `auto` what calibration chose."""
        from mue_cli.experiment.precision import precision_of

        return precision_of(self)

    def predictor_of(
        self,
        model: "OFA",
        tokenizer: "Tokenizer",
        search: "SearchSection | None" = None,
        precision: "Precision | None" = None,
    ) -> "Predictor":
        """Return a model ready to answer, with position biases of its weights as they are now.

        Raises MueError when its vocabulary cannot give the task's answers.
        """
        from mue_cli.evaluation.predict import Predictor
        from mue_cli.inference.positions import PositionTables
        from mue_cli.inference.precision import at_precision

        self.task.answer_ids(tokenizer.encode)
        fast = at_precision(model, precision or self.precision)
        tables = PositionTables(fast)
        return Predictor(fast, tokenizer, self.task, search or self.recipe.search, tables)

    def exit_head(self, name: str) -> "TrainedHead | None":
        """Return a method's own exit head, read once; None when it uses the model's.

        Raises MissingStepError before it was trained, CheckpointError when its file is damaged or
        belongs to another model.
        """
        from mue_cli.experiment.exit_heads import open_head

        if name not in self._exit_heads:
            self._exit_heads[name] = open_head(self, name)
        return self._exit_heads[name]

    @cached_property
    def _exit_heads(self) -> "dict[str, TrainedHead | None]":
        return {}

    # Methods and samples.

    def method(self, name: str, thresholds: Mapping[str, float] | None = None) -> "Method":
        """Return a method with the run's exit head.

        thresholds: by stream; None for the recipe's own, else those that calibration chose.
        """
        from mue_cli.experiment.methods import make_method, spec_of
        from mue_cli.experiment.stated import settled

        here, spec = settled(self, name) if thresholds is None else self, spec_of(name)
        limits = here.thresholds(name) if thresholds is None else thresholds
        return make_method(here.recipe, self.task, spec, limits, self.exit_head(name))

    def thresholds(self, name: str) -> dict[str, float]:
        """Return a threshold, for static an exit layer, per stream: the recipe's own, else those
        that `mue calibrate` chose.

        Raises MissingStepError before `mue calibrate`, RecipeError for layers that are no layers.
        """
        from mue_cli.experiment.stated import thresholds_of

        return thresholds_of(self, name)

    def conditions(self, name: str) -> "Conditions":
        """Return what thresholds of a method depend on here."""
        from mue_cli.experiment.stated import conditions_of

        return conditions_of(self, name)

    def collate(
        self, examples: "Sequence[Example]", tokenizer: "Tokenizer | None" = None
    ) -> "Batch":
        """Make a batch of examples, with the recipe's task, image size and text lengths."""
        from mue_cli.data.batches import collate

        data = self.recipe.data
        lengths = (data.max_source_tokens, data.max_target_tokens)
        return collate(examples, tokenizer or self.tokenizer, data.image_size, self.task, *lengths)

    def batches(
        self,
        split: str,
        samples: int | None = None,
        batch_size: int | None = None,
        tokenizer: "Tokenizer | None" = None,
    ) -> "Batches":
        """Return the first `samples` examples of a split (None: all) as batches that can be walked
        again and again.
        """
        from mue_cli.experiment.batches import Batches

        examples, words = self._examples(split), tokenizer or self.tokenizer
        return Batches(
            examples if samples is None else examples[:samples],
            words,
            lambda some: self.collate(some, words),
            batch_size or self.recipe.evaluation.batch_size,
        )

    def training_batches(self, first: int, tokenizer: "Tokenizer") -> "Iterator[Batch]":
        """Yield shuffled batches of `train` without end, every text a sample, from number `first`
        on.
        """
        from mue_cli.experiment.training_data import batches_from

        return batches_from(self, first, tokenizer)

    def _examples(self, split: str, per_text: bool = False):  # type: ignore[no-untyped-def]
        data = self.recipe.data
        return self.data.examples(
            self.task, split, per_text, data.image_size, bare=data.prompt == "bare"
        )

    # Procedures; each is a function of its own file.

    def finetune(self, resume: bool = False, force: bool = False) -> "Finetuned":
        """Train a model with several exits; see `experiment.finetune.finetune`."""
        from mue_cli.experiment.finetune import finetune

        return finetune(self, resume=resume, force=force)

    def calibrate(
        self,
        target_reduction: float | None = None,
        method: str | None = None,
        by: "By" = "expected",
        max_drop: float | None = None,
        confidence: float | None = None,
        test: "TestName" = "betting",
        explain: bool = False,
    ) -> "Calibrated":
        """Choose thresholds for a reduction, a largest drop, or both; see
        `experiment.calibrate.calibrate`.
        """
        from mue_cli.experiment.calibrate import calibrate

        return calibrate(self, target_reduction, method, by, max_drop, confidence, test, explain)

    def evaluate(self, method: str | None = None, split: str = "test") -> "Evaluated":
        """Score a method and count its costs; see `experiment.evaluate.evaluate`."""
        from mue_cli.experiment.evaluate import evaluate

        return evaluate(self, method, split)

    def predict(
        self,
        images: "Sequence[Image | str | Path]",
        method: str | None = None,
        hypothesis: str | None = None,
        premise: str | None = None,
    ) -> "list[PicturePrediction]":
        """Caption pictures, or judge a sentence about them; see `experiment.predict.predict`."""
        from mue_cli.experiment.predict import predict

        return predict(self, images, method, hypothesis, premise)

    def benchmark(self, method: str | None = None, batch_size: int | None = None) -> "Benchmark":
        """Time a method and every part of the model; see `experiment.benchmark.benchmark`."""
        from mue_cli.experiment.benchmark import benchmark

        return benchmark(self, method, batch_size=batch_size)

    def exit_grid(self, split: str = "test", samples: int | None = None) -> "ExitGrid":
        """Score every pair of exit layers; see `experiment.exit_layers.exit_grid`."""
        from mue_cli.experiment.exit_layers import exit_grid

        return exit_grid(self, split, samples)

    def depth_scores(self, split: str = "test", samples: int | None = None) -> "DepthScores":
        """Score each stream read after each layer; see `experiment.exit_layers.depth_scores`."""
        from mue_cli.experiment.exit_layers import depth_scores

        return depth_scores(self, split, samples)

    def with_exits(self, **settings: object) -> "Experiment":
        """Return the same experiment with other fields of the recipe's exits; what is open stays
        so.
        """
        exits = replace(self.recipe.exits, **settings)  # type: ignore[arg-type]
        other = replace(self, recipe=replace(self.recipe, exits=exits))
        opened = {name: value for name, value in vars(self).items() if name not in vars(other)}
        vars(other).update(opened)
        return other
