"""The objects that finetune, calibrate, evaluate and plot work with, built from a recipe and its
run folder.

Imported by commands inside their functions only: it brings torch along.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

import torch

from mue_cli.commands.display import progress
from mue_cli.data.batches import Batch, Example, evaluation_batches, training_batches
from mue_cli.data.store.prepared import Examples, PreparedData
from mue_cli.data.tasks import TASKS, Task
from mue_cli.errors import CheckpointError, MissingStepError, RecipeError
from mue_cli.evaluation.exit_scores import Profiles, measure_profiles
from mue_cli.evaluation.predict import Subject
from mue_cli.exits.catalogue import CALIBRATED, TRAINED_ON_MODEL, TRAINED_WITH_MODEL
from mue_cli.exits.methods import Method
from mue_cli.experiment import build
from mue_cli.experiment import exit_heads as readout_file
from mue_cli.experiment.exit_heads import TrainedReadout
from mue_cli.experiment.run_folder import Run, read_thresholds
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import at_precision, readout_at_precision
from mue_cli.model import checkpoint
from mue_cli.model.ofa import OFA
from mue_cli.model.pretrained import Pretrained, find_pretrained
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.model.vocabulary import load_vocabulary
from mue_cli.recipe.recipe import Recipe, SearchSection
from mue_cli.reports.saturation import Saturation

T = TypeVar("T")


@dataclass(frozen=True)
class Workbench:
    """tokenizer: the prepared data's before training, the run's own afterwards."""

    recipe: Recipe
    run: Run
    task: Task
    prepared: PreparedData
    tokenizer: Tokenizer
    device: torch.device
    _readouts: dict[str, TrainedReadout | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Make a batch of examples."""
        return build.batch(self.recipe, self.tokenizer, examples)

    def training_batches(self, start_step: int) -> Iterator[Batch]:
        """Yield shuffled batches of `train` without end, every caption a sample."""
        examples = self._examples("train", per_caption=True)
        return training_batches(
            examples, self.collate, self.recipe.training.batch_size, self.recipe.seed, start_step
        )

    def split(
        self, name: str, samples: int | None, batch_size: int | None = None
    ) -> "SplitBatches":
        """Return the first `samples` examples of a split (None: all) as batches that can be walked
        again and again.
        """
        examples = self._examples(name)
        return SplitBatches(
            self,
            examples[:samples] if samples is not None else examples,
            batch_size or self.recipe.evaluation.batch_size,
        )

    def _examples(self, split: str, per_caption: bool = False) -> Examples:
        data = self.recipe.data
        return self.prepared.examples(
            self.task, split, per_caption, data.image_size, bare=data.prompt == "bare"
        )

    def subject(self, model: OFA, search: SearchSection | None = None) -> Subject:
        """Return the model ready for evaluation, with position biases of its weights as they are
        now.
        """
        return make_subject(model, self.tokenizer, self.recipe, search)

    def trained_subject(self) -> Subject:
        """Return the run's checkpoint ready for evaluation. Raises MissingStepError before `mue
        finetune`.
        """
        return trained_subject(self.recipe, self.run, self.device)

    def profiles(self, subject: Subject, method: Method) -> Profiles:
        """Run the full model on the calibration samples of `val` and return what the method's rules
        would have seen.

        Similarities are also written to saturation.npz.
        """
        batches = self.split("val", self.recipe.calibration.samples)
        with progress("full model on val") as report:
            found = measure_profiles(
                subject, method, batches, lambda done, _: report(done, len(batches.examples))
            )
        if method.name == "mue":
            about = {
                "recipe": self.recipe.name,
                "dataset": self.prepared.manifest.name,
                "split": "val",
            }
            Saturation(found.streams, about).save(self.run.saturation)
        return found

    def similarities(self, subject: Subject) -> None:
        """Measure similarities and write saturation.npz."""
        self.profiles(subject, self.method("mue", dict.fromkeys(build.streams(self.recipe), 0.0)))

    def method(self, name: str, thresholds: Mapping[str, float]) -> Method:
        """Return a method with the run's readout, which is read once."""
        if name not in self._readouts:
            self._readouts[name] = load_readout(self.recipe, self.run, name, self.device)
        return build.method(self.recipe, name, thresholds, self._readouts[name])

    def thresholds(self, method: str) -> dict[str, float]:
        """Return a threshold, for static an exit layer, per stream; see `thresholds`."""
        return thresholds(self.recipe, self.run, method)


def calibrated_method(
    recipe: Recipe, run: Run, name: str, limits: Mapping[str, float], device: torch.device
) -> Method:
    """Return a method with the run's readout. limits: as `thresholds` returns them."""
    return build.method(recipe, name, limits, load_readout(recipe, run, name, device))


def thresholds(recipe: Recipe, run: Run, method: str) -> dict[str, float]:
    """Return a threshold, for static an exit layer, per stream: the recipe's own, else those that
    `mue calibrate` found.

    Raises MissingStepError before `mue calibrate`, RecipeError for `static` without whole layers.
    """
    if method not in ("static", *CALIBRATED):
        return {}
    stated = build.fixed_thresholds(recipe.exits)
    wanted = build.streams(recipe, method)
    if method == "pabee" and "decoder" in stated and not _is_count(stated["decoder"]):
        raise RecipeError(
            f"`exits.decoder` is {stated['decoder']:g}, expected for pabee how many layers in a row must agree",
            "for example 2",
        )
    if method == "static" and not all(_is_count(stated.get(stream, 0)) for stream in wanted):
        example = " ".join(f"--set exits.{stream}=3" for stream in wanted)
        raise RecipeError(
            f"the method static needs an exit layer for each of {', '.join(wanted)}",
            f"for example {example}",
        )
    if method != "static" and not stated.keys() >= set(wanted):
        stated = {**_calibrated(recipe, run, method), **stated}
    return {stream: stated[stream] for stream in wanted if stream in stated}


def _is_count(value: float) -> bool:
    return value >= 1 and float(value).is_integer()


def _calibrated(recipe: Recipe, run: Run, method: str) -> Mapping[str, float]:
    """Return the thresholds that were found. Raises RecipeError when they were searched with
    anything else than is asked for now.
    """
    found = read_thresholds(run, method)
    policy, precision = build.skipped_layers(recipe), recipe.inference.precision
    pairs = {
        _list(found.decay): _list(build.decay_settings(recipe, method)),
        f"skipped_layers {found.skipped_layers}": f"skipped_layers {policy}",
        **(
            {}
            if found.decompose is None
            else {_streams(found.decompose): _streams(recipe.model.decompose)}
        ),
        **({_list(found.search): _list(build.search_settings(recipe))} if found.search else {}),
        f"precision {found.precision}": f"precision {precision}",
        _weights(found.weights): _weights(run.weights),
    }
    for searched, wanted in pairs.items():
        if searched != wanted:
            message = f"`{run.of_method(run.thresholds, method)}` was searched with {searched}, now it is {wanted}"
            raise RecipeError(message, f"run: {run.command('calibrate')}")
    return found.thresholds


def _streams(decompose: bool) -> str:
    return "image and text apart" if decompose else "image and text in one stream"


def _weights(named: str | None) -> str:
    return f"the weights {named}" if named else "the run's own weights"


def _list(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items()) or "no decay"


@dataclass(frozen=True)
class SplitBatches(Iterable[Batch]):
    """Batches of some examples, by the length of their text, made anew each time they are walked."""

    workbench: Workbench
    examples: Examples
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        return evaluation_batches(
            self.examples, self.workbench.collate, self.batch_size, self._order
        )

    @cached_property
    def _order(self) -> list[int]:
        """Texts of like length together, so that little is padding; pictures all have one size."""
        lengths = [
            len(self.workbench.tokenizer.encode(self.examples.source(row)))
            for row in range(len(self.examples))
        ]
        return sorted(range(len(lengths)), key=lengths.__getitem__)

    def in_order(self, results: Sequence[T]) -> list[T]:
        """Return what was computed batch by batch in the examples' own order."""
        placed = sorted(zip(self._order, results, strict=True), key=lambda pair: pair[0])
        return [result for _, result in placed]


def trained_subject(recipe: Recipe, run: Run, device: torch.device) -> Subject:
    """Return a trained model ready for evaluation; prepared data is not needed. Raises
    MissingStepError before `mue finetune`.
    """
    model, tokenizer = trained_model(recipe, run, device)
    build.settle_threads(model)
    return make_subject(model, tokenizer, recipe)


def trained_model(recipe: Recipe, run: Run, device: torch.device) -> tuple[OFA, Tokenizer]:
    """Return the run's model and vocabulary, or those that `--weights` names. Raises
    MissingStepError before `mue finetune`.
    """
    found = _trained(run)
    tokenizer = load_vocabulary(found.folder)
    model = (
        build.pretrained_model(recipe, found, device)
        if run.weights
        else checkpoint.load(found.weights, device)
    )
    build.check_vocabulary(model, tokenizer.vocab_size, found.weights)
    return model, tokenizer


def _trained(run: Run) -> Pretrained:
    """Return the weights of a run: those that `--weights` names, else its checkpoint."""
    if run.weights is not None:
        return find_pretrained(run.weights)
    found = Pretrained(run.need(run.checkpoint, "finetune"))
    run.need(run.tokenizer, "finetune")
    return found


def load_readout(
    recipe: Recipe, run: Run, method: str, device: torch.device
) -> TrainedReadout | None:
    """Return a method's own readout, None when it uses the model's head.

    Raises MissingStepError before it was trained, CheckpointError when its file is damaged or
    belongs to another model.
    """
    if method not in (*TRAINED_WITH_MODEL, *TRAINED_ON_MODEL):
        return None
    path = run.readout(method)
    if method in TRAINED_WITH_MODEL and not path.exists():
        hint = f"it is trained with the model: mue finetune --method {method} --run ANOTHER-FOLDER"
        raise MissingStepError(f"no {path.name} in `{run.folder}`", hint)
    run.need(path, f"finetune --method {method}")
    sizes = build.readout_sizes(recipe, method, checkpoint.sizes(_trained(run).weights))
    if sizes is None:
        return None
    return cast(
        TrainedReadout,
        readout_at_precision(readout_file.load(path, sizes, device), recipe.inference.precision),
    )


def make_subject(
    model: OFA, tokenizer: Tokenizer, recipe: Recipe, search: SearchSection | None = None
) -> Subject:
    """Return a model ready for evaluation at the recipe's precision, with position biases of its
    weights as they are now.

    Raises CheckpointError when its vocabulary cannot give the task's answers.
    """
    answer_ids(tokenizer, TASKS[recipe.task])
    fast = at_precision(model, recipe.inference.precision)
    return Subject(
        fast, tokenizer, TASKS[recipe.task], search or recipe.search, PositionTables(fast)
    )


def answer_ids(tokenizer: Tokenizer, task: Task) -> list[int]:
    """Return the tokens of the task's answers. Raises CheckpointError when one is no single token:
    its first piece is not the answer.
    """
    found = [tokenizer.encode(f" {word}") for word in task.answers]
    long = next(
        (word for word, ids in zip(task.answers, found, strict=True) if len(ids) != 1), None
    )
    if long is not None:
        raise CheckpointError(
            f"the model's vocabulary has no token for the answer `{long}`",
            "it was not made for this task: train one that was",
        )
    return [ids[0] for ids in found]


def before_training(recipe: Recipe, run: Run, device: str) -> Workbench:
    """Return the workbench of `mue finetune`. Raises MissingStepError before `mue prepare`."""
    prepared = build.data(recipe)
    return Workbench(
        recipe,
        run,
        TASKS[recipe.task],
        prepared,
        build.tokenizer(recipe, prepared),
        build.device(device),
    )


def after_training(recipe: Recipe, run: Run, device: str) -> Workbench:
    """Return the workbench of the commands that use a checkpoint. Raises MissingStepError before
    `mue prepare` or `mue finetune`.
    """
    prepared = build.data(recipe)
    tokenizer = load_vocabulary(_trained(run).folder)
    return Workbench(recipe, run, TASKS[recipe.task], prepared, tokenizer, build.device(device))
