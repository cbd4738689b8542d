"""What a training reads: batches of pictures or of their cached features, one picture with several
captions where the recipe says so, of each batch one process's share.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from mue_cli.data.batches import (
    Batch,
    CaptionGroups,
    Part,
    Tokenizer,
    collate,
    training_batches,
)
from mue_cli.data.images import preprocess
from mue_cli.errors import MueError, RecipeError
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.experiment.batches import Batches
from mue_cli.experiment.experiment import Experiment
from mue_cli.model.ofa import OFA
from mue_cli.model.resnet_weights import pixel_doubt
from mue_cli.model.tokenizer import Tokenizer as Vocabulary
from mue_cli.training.features import Features, cached_features, features_key
from mue_cli.training.processes import Processes

REMEMBERED_TEXTS = 2**16
DOUBTED = 32
"""Pictures that show whether pixels come as the ResNet's weights want them."""


class Remembering:
    """A vocabulary that remembers how it cut a text: training reads the same ones again."""

    def __init__(self, vocabulary: Tokenizer) -> None:
        self.bos_id, self.pad_id = vocabulary.bos_id, vocabulary.pad_id
        self.eos_id = vocabulary.eos_id
        self.decode = vocabulary.decode
        self.encode = lru_cache(maxsize=REMEMBERED_TEXTS)(vocabulary.encode)


def check_data_settings(experiment: Experiment, processes: Processes) -> None:
    """Raise RecipeError for settings of the data that do not go together."""
    training = experiment.recipe.training
    if training.cache_features and not training.freeze_resnet:
        raise RecipeError(
            "`training.cache_features` needs a ResNet that stays as it is",
            "--set training.freeze_resnet=true",
        )
    if training.captions_per_image > 1 and not experiment.task.generates:
        raise RecipeError(
            f"`training.captions_per_image` is {training.captions_per_image}, and the task "
            f"{experiment.task.name} has no captions",
            "leave it at 1, and take a larger training.batch_size",
        )
    spec = CATALOGUE.get(experiment.recipe.exits.method)
    own_head = spec is not None and spec.has_own_head
    if training.objective == "self_critical" and (own_head or not experiment.task.generates):
        raise RecipeError(
            "`training.objective` is self_critical, which trains captions through the model's head",
            "--set training.objective=cross_entropy",
        )
    if training.distillation > 0.0 and own_head:
        raise RecipeError(
            f"`training.distillation` is for the shared head, and {experiment.recipe.exits.method} "
            "has heads of its own",
            "--set training.distillation=0",
        )
    if training.batch_size < processes.count:
        raise MueError(
            f"a batch of {training.batch_size} cannot be shared by {processes.count} processes",
            "a larger training.batch_size, or fewer processes",
        )


def doubt_pixels(experiment: Experiment, model: OFA) -> None:
    """Say so where the ResNet's weights seem to have been trained on other pixels than the recipe
    says: nothing else would show it, and the model would hardly see its pictures.
    """
    section, size = experiment.recipe.model, experiment.recipe.data.image_size
    if section.resnet_weights is None:
        return
    pictures = experiment.data.pictures(size)
    images = preprocess([pictures[row] for row in range(min(DOUBTED, len(pictures)))], size)
    doubt = pixel_doubt(model.encoder.embed_images, images, section.resnet_pixels)
    if doubt:
        experiment.progress("finetune", 0, 0, f"note: {doubt}")


def features_of(experiment: Experiment, model: OFA) -> Features | None:
    """Return the pictures' features where the recipe wants them cached, computed now if they are
    not there.
    """
    if not experiment.recipe.training.cache_features:
        return None
    size, data = experiment.recipe.data.image_size, experiment.data
    trunk, pictures = model.encoder.embed_images, data.pictures(size)
    return cached_features(
        trunk,
        pictures,
        size,
        data.root,
        features_key(trunk, size, data.fingerprint),
        experiment.device,
        lambda done, total, note: experiment.progress("features", done, total, note),
    )


def batches_from(
    experiment: Experiment,
    first: int,
    tokenizer: Tokenizer,
    features: Features | None = None,
    processes: Processes | None = None,
) -> Iterator[Batch]:
    """Yield shuffled batches of `train` without end, from number `first` on."""
    recipe, task = experiment.recipe, experiment.task
    data, training = recipe.data, recipe.training
    per_picture, words = training.captions_per_image, Remembering(tokenizer)
    examples = experiment.data.examples(
        task, "train", True, data.image_size, bare=data.prompt == "bare", features=features
    )
    groups = None
    if per_picture > 1:
        groups = CaptionGroups(experiment.data.caption_ends("train"), per_picture)
    part = None
    if processes is not None and processes.count > 1:
        part = Part(processes.rank, processes.count)
    lengths = (data.max_source_tokens, data.max_target_tokens)
    return training_batches(
        examples,
        lambda some: collate(some, words, data.image_size, task, *lengths, per_picture),
        training.batch_size,
        recipe.seed,
        first,
        groups,
        part,
    )


def validation_batches(
    experiment: Experiment, tokenizer: Vocabulary, features: Features | None
) -> Batches:
    """Return the validation samples, as features where training sees features."""
    recipe = experiment.recipe
    samples = recipe.training.validation_samples
    batches = experiment.batches("val", samples, tokenizer=tokenizer)
    if features is None:
        return batches
    examples = experiment.data.examples(
        experiment.task,
        "val",
        image_size=recipe.data.image_size,
        bare=recipe.data.prompt == "bare",
        features=features,
    )
    return replace(batches, examples=examples[:samples])
