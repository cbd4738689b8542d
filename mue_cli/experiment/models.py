"""From a recipe to a model: sizes, starting weights, device, threads."""

import os
from dataclasses import asdict, fields
from pathlib import Path

import torch

from mue_cli.errors import CheckpointError, MueError, RecipeError, one_line
from mue_cli.model import checkpoint
from mue_cli.model.config import PRESETS, OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.model.pretrained import Pretrained, find_pretrained
from mue_cli.model.resnet_weights import load_resnet
from mue_cli.recipe.recipe import Recipe
from mue_cli.schema.schema import did_you_mean

DEFAULT_PRESET = "nano"
NARROW = 128
"""Embedding size up to which a model counts as narrow."""
FREE_FIELDS = ("dropout", "drop_path", "init_std", "init_active_layers")
"""Fields of OFAConfig in which weights may differ from a preset."""


def find_device(name: str) -> torch.device:
    """Return the device of a name: auto takes CUDA when it is there. Raises MueError for one that
    is not.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise MueError(f"unknown device `{name}`", "use auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise MueError("no CUDA device is available", "use --device cpu")
    return torch.device(name)


def settle_threads(model: OFA) -> None:
    """Give a narrow model one CPU thread, unless OMP_NUM_THREADS says otherwise.

    Its operations are too small to share: two threads gain little on an idle machine, and stall
    each other on a busy one.
    """
    if model.config.embed_dim <= NARROW and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def new_model(recipe: Recipe, vocab_size: int) -> OFA:
    """Return a model with the starting weights of model.weights, or drawn from the seed; the
    dropout of training follows the seed too.

    Raises RecipeError for an unknown preset or field, CheckpointError for weights of another size
    than the recipe says, either for weights of the trunk that do not fit.
    """
    torch.manual_seed(recipe.seed)
    if recipe.model.weights is not None:
        if recipe.model.resnet_weights is not None:
            raise RecipeError(
                "`model.weights` and `model.resnet_weights` are both given",
                "weights bring their own ResNet: leave out model.resnet_weights",
            )
        model = pretrained_model(recipe, find_pretrained(recipe.model.weights))
        check_vocabulary(model, vocab_size, recipe.model.weights)
        return model
    model = OFA(_new_config(recipe, vocab_size))
    if recipe.model.resnet_weights is not None:
        trunk, path = model.encoder.embed_images, Path(recipe.model.resnet_weights)
        load_resnet(trunk, path.expanduser(), recipe.model.resnet_pixels)
    return model


def pretrained_model(recipe: Recipe, source: Pretrained, device: torch.device | None = None) -> OFA:
    """Load weights under the recipe's settings.

    Raises CheckpointError when they do not fit them, RecipeError for an unknown preset.
    """
    _check_fields(recipe)
    model = checkpoint.load(source.weights, device, recipe.model.ema, recipe.model.config)
    _check_preset(recipe, model.config, source.weights)
    check_fits(recipe, model.config)
    return model


def check_vocabulary(model: OFA, vocab_size: int, source: object) -> None:
    """Raise CheckpointError when a model and its vocabulary are of different sizes."""
    if model.config.vocab_size != vocab_size:
        raise CheckpointError(
            f"{source} knows {model.config.vocab_size} tokens, the vocabulary beside it has "
            f"{vocab_size}",
            "weights and vocabulary must belong together",
        )


def check_fits(recipe: Recipe, sizes: OFAConfig) -> None:
    """Raise RecipeError for pictures or texts that have more positions than the model."""
    _check_image_size(recipe, sizes)
    lengths = {
        "data.max_source_tokens": recipe.data.max_source_tokens,
        "data.max_target_tokens": recipe.data.max_target_tokens,
        "search.max_tokens": recipe.search.max_tokens,
    }
    for key, length in lengths.items():
        if length > sizes.max_positions:
            raise RecipeError(
                f"{key} is {length}, the model has positions for {sizes.max_positions} tokens",
                f"at most {sizes.max_positions}, or a model with more model.config.max_positions",
            )


def _check_image_size(recipe: Recipe, sizes: OFAConfig) -> None:
    largest = sizes.image_buckets * sizes.image_stride
    if recipe.data.image_size > largest:
        raise RecipeError(
            f"data.image_size {recipe.data.image_size} is too large for the model's "
            f"{sizes.image_buckets} image buckets",
            f"at most {largest} pixels, or a larger model.config.image_buckets",
        )


def _check_preset(recipe: Recipe, have: OFAConfig, source: object) -> None:
    if recipe.model.preset is None:
        return
    wanted, sizes = asdict(preset(_known_preset(recipe), have.vocab_size)), asdict(have)
    free = (*FREE_FIELDS, *recipe.model.config)
    others = [name for name in wanted if name not in free and wanted[name] != sizes[name]]
    if others:
        listed = ", ".join(f"{name} {sizes[name]} instead of {wanted[name]}" for name in others)
        raise CheckpointError(
            f"{source} is of another size than the preset {recipe.model.preset}: {listed}",
            "leave out model.preset, or --set model.preset=null",
        )


def _new_config(recipe: Recipe, vocab_size: int) -> OFAConfig:
    _check_fields(recipe)
    sizes = preset(_known_preset(recipe), vocab_size, **recipe.model.config)
    check_fits(recipe, sizes)
    return sizes


def _known_preset(recipe: Recipe) -> str:
    name = recipe.model.preset or DEFAULT_PRESET
    if name not in PRESETS:
        raise RecipeError(f"unknown model.preset `{name}`", did_you_mean(name, PRESETS))
    return name


def _check_fields(recipe: Recipe) -> None:
    """Raise RecipeError for a field in model.config that a model does not have."""
    known = [item.name for item in fields(OFAConfig) if item.name != "vocab_size"]
    for name in recipe.model.config:
        if name == "vocab_size":
            raise RecipeError(
                "`model.config.vocab_size` is given, it comes with the vocabulary",
                "leave it out; mue prepare ... --vocab-size learns a vocabulary of another size",
            )
        if name not in known:
            raise RecipeError(
                f"unknown key `model.config.{one_line(name, 60)}` in recipe `{recipe.name}`",
                did_you_mean(name, known, "keys"),
            )
