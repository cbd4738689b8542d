"""From a recipe to objects: the only place where recipes meet classes."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from mue_cli.data.prepared import PreparedData
from mue_cli.errors import CheckpointError, MueError, RecipeError
from mue_cli.exits import methods
from mue_cli.exits.methods import Method
from mue_cli.exits.similarity import Decay
from mue_cli.model import checkpoint
from mue_cli.model.config import PRESETS, OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.recipe import ExitsSection, Recipe
from mue_cli.schema import did_you_mean

NARROW = 128
"""Embedding size up to which a model counts as narrow."""


def device(name: str) -> torch.device:
    """Return the device of a name: auto takes CUDA when it is there. Raises MueError for one that is not."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise MueError(f"unknown device `{name}`", "use auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise MueError("no CUDA device is available", "use --device cpu")
    return torch.device(name)


def settle_threads(model: OFA) -> None:
    """Give a narrow model one CPU thread, unless OMP_NUM_THREADS says otherwise.

    Its operations are too small to share: two threads gain little on an idle machine, and stall each other on a busy one.
    """
    if model.config.embed_dim <= NARROW and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def data_root(recipe: Recipe) -> Path:
    """Return the folder of the recipe's prepared data."""
    return Path(recipe.data.root or Path("data") / recipe.data.dataset)


def data(recipe: Recipe) -> PreparedData:
    """Open the recipe's prepared data. Raises MissingStepError when `mue prepare` has not written it."""
    return PreparedData.open(data_root(recipe))


def config(recipe: Recipe, vocab_size: int) -> OFAConfig:
    """Return the model's sizes. Raises RecipeError for an unknown preset or field."""
    if recipe.model.preset not in PRESETS:
        raise RecipeError(f"unknown model.preset `{recipe.model.preset}`", did_you_mean(recipe.model.preset, PRESETS))
    try:
        sizes = preset(recipe.model.preset, vocab_size, **recipe.model.config)
    except TypeError as error:
        raise RecipeError(f"model.config of recipe `{recipe.name}`: {error}", "its fields are those of OFAConfig") from error
    if sizes.embed_dim % sizes.num_heads:
        raise RecipeError(
            f"model.config: {sizes.num_heads} heads cannot share {sizes.embed_dim} dimensions", "make embed_dim a multiple of num_heads"
        )
    largest = sizes.image_buckets * sizes.image_stride
    if recipe.data.image_size > largest:
        hint = f"at most {largest} pixels, or a larger model.config.image_buckets"
        raise RecipeError(
            f"data.image_size {recipe.data.image_size} is too large for the model's {sizes.image_buckets} image buckets", hint
        )
    return sizes


def new_model(recipe: Recipe, vocab_size: int) -> OFA:
    """Return a model with the recipe's starting weights: those of model.weights, or drawn from the recipe's seed.

    Raises CheckpointError when the weights are of another size than the recipe says.
    """
    wanted = config(recipe, vocab_size)
    if recipe.model.weights is not None:
        model = checkpoint.load(Path(recipe.model.weights))
        if model.config != wanted:
            raise CheckpointError(f"{recipe.model.weights} holds {model.config}, the recipe asks for {wanted}", "match model.preset to it")
        return model
    torch.manual_seed(recipe.seed)
    return OFA(wanted)


def tokenizer(prepared: PreparedData) -> Tokenizer:
    """Return the vocabulary that was trained with the data."""
    return Tokenizer.load(prepared.tokenizer_path)


def method(recipe: Recipe, name: str, thresholds: Mapping[str, float]) -> Method:
    """Return a method by name. thresholds: by stream; for static, exit layers."""
    if name == "full":
        return methods.full(recipe.model.decompose)
    if name == "static":
        return methods.static({stream: int(layer) for stream, layer in thresholds.items()}, recipe.model.decompose)
    if name == "mue":
        return methods.mue(thresholds, recipe.model.decompose, decay(recipe))
    raise RecipeError(f"unknown method `{name}`", did_you_mean(name, ("full", "static", "mue")))


def decay(recipe: Recipe) -> Decay | None:
    """Return Eq. 11's decay for captions; closed-set answers have one step and none (as in the release)."""
    if recipe.task == "entailment":
        return None
    return Decay(recipe.exits.beta, recipe.exits.tau, recipe.exits.full_depth_steps)


def decay_settings(recipe: Recipe) -> dict[str, float]:
    """Return Eq. 11's settings by name, none where nothing decays."""
    settings = decay(recipe)
    return asdict(settings) if settings else {}


def streams(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the streams that have a rule."""
    return ("image", "text", "decoder") if recipe.model.decompose else ("joint", "decoder")


def fixed_thresholds(exits: ExitsSection) -> dict[str, float]:
    """Return the thresholds that a recipe states itself."""
    stated = {"image": exits.image, "text": exits.text, "joint": exits.joint, "decoder": exits.decoder}
    return {stream: value for stream, value in stated.items() if value is not None}
