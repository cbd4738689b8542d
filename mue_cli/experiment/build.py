"""From a recipe to objects: the only place where recipes meet classes."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import torch

from mue_cli.data.batches import Batch, Example, collate
from mue_cli.data.batches import Tokenizer as Vocabulary
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import TASKS
from mue_cli.errors import CheckpointError, MueError, RecipeError
from mue_cli.exits import methods
from mue_cli.exits.catalogue import CALIBRATED, DECODER_ONLY, TRAINED_ON_MODEL, TRAINED_WITH_MODEL
from mue_cli.exits.decay import Decay
from mue_cli.exits.heads import ImitationReadout, Readout
from mue_cli.exits.methods import Method
from mue_cli.experiment.exit_heads import ReadoutSizes, TrainedReadout
from mue_cli.model import checkpoint
from mue_cli.model.config import PRESETS, OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.model.pretrained import Pretrained, find_pretrained
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.model.vocabulary import load_vocabulary
from mue_cli.recipe.recipe import ExitsSection, Recipe, SkippedLayers
from mue_cli.schema.schema import did_you_mean
from mue_cli.training import stages
from mue_cli.training.stages import Stage

DEFAULT_PRESET = "nano"
NARROW = 128
"""Embedding size up to which a model counts as narrow."""


def device(name: str) -> torch.device:
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


def data(recipe: Recipe) -> PreparedData:
    """Open the recipe's prepared data. Raises MissingStepError when `mue prepare` has not written
    it.
    """
    return PreparedData.open(recipe.data.folder)


def tokenizer(recipe: Recipe, prepared: PreparedData) -> Tokenizer:
    """Return the vocabulary that belongs to the recipe's starting weights or, without any, the one
    learned from the data.
    """
    if recipe.model.weights is not None:
        return load_vocabulary(find_pretrained(recipe.model.weights).folder)
    return Tokenizer.load(prepared.tokenizer_path)


def new_model(recipe: Recipe, vocab_size: int) -> OFA:
    """Return a model with the starting weights of model.weights, or drawn from the seed; the
    dropout of training follows the seed too.

    Raises RecipeError for an unknown preset or field, CheckpointError for weights of another size
    than the recipe says.
    """
    torch.manual_seed(recipe.seed)
    if recipe.model.weights is not None:
        model = pretrained_model(recipe, find_pretrained(recipe.model.weights))
        check_vocabulary(model, vocab_size, recipe.model.weights)
        return model
    return OFA(_new_config(recipe, vocab_size))


def pretrained_model(recipe: Recipe, found: Pretrained, device: torch.device | None = None) -> OFA:
    """Load weights under the recipe's settings. Raises CheckpointError when they do not fit them,
    RecipeError for an unknown preset.
    """
    with _naming_fields(recipe):
        model = checkpoint.load(found.weights, device, recipe.model.ema, recipe.model.config)
    _check_preset(recipe, model.config, found.weights)
    _check_image_size(recipe, model.config)
    return model


def check_vocabulary(model: OFA, vocab_size: int, source: object) -> None:
    """Raise CheckpointError when a model and its vocabulary are of different sizes."""
    if model.config.vocab_size != vocab_size:
        found = f"{source} knows {model.config.vocab_size} tokens, the vocabulary beside it has {vocab_size}"
        raise CheckpointError(found, "weights and vocabulary must belong together")


_FREE_FIELDS = ("dropout", "drop_path", "init_std", "init_active_layers")
"""Fields of OFAConfig in which weights may differ from a preset."""


def _check_preset(recipe: Recipe, found: OFAConfig, source: object) -> None:
    if recipe.model.preset is None:
        return
    wanted, have = asdict(preset(_known_preset(recipe), found.vocab_size)), asdict(found)
    others = [
        name
        for name in wanted
        if name not in (*_FREE_FIELDS, *recipe.model.config) and wanted[name] != have[name]
    ]
    if others:
        said = ", ".join(f"{name} {have[name]} instead of {wanted[name]}" for name in others)
        raise CheckpointError(
            f"{source} is of another size than the preset {recipe.model.preset}: {said}",
            "leave out model.preset, or --set model.preset=null",
        )


def _new_config(recipe: Recipe, vocab_size: int) -> OFAConfig:
    with _naming_fields(recipe):
        sizes = preset(_known_preset(recipe), vocab_size, **recipe.model.config)
    _check_image_size(recipe, sizes)
    return sizes


def _known_preset(recipe: Recipe) -> str:
    name = recipe.model.preset or DEFAULT_PRESET
    if name not in PRESETS:
        raise RecipeError(f"unknown model.preset `{name}`", did_you_mean(name, PRESETS))
    return name


@contextmanager
def _naming_fields(recipe: Recipe) -> Iterator[None]:
    """Turn the error for an unknown field of OFAConfig into one for the recipe's reader."""
    try:
        yield
    except TypeError as error:
        raise RecipeError(
            f"model.config of recipe `{recipe.name}`: {error}", "its fields are those of OFAConfig"
        ) from error


def _check_image_size(recipe: Recipe, sizes: OFAConfig) -> None:
    largest = sizes.image_buckets * sizes.image_stride
    if recipe.data.image_size > largest:
        hint = f"at most {largest} pixels, or a larger model.config.image_buckets"
        raise RecipeError(
            f"data.image_size {recipe.data.image_size} is too large for the model's {sizes.image_buckets} image buckets",
            hint,
        )


def readout_sizes(recipe: Recipe, name: str, config: OFAConfig) -> ReadoutSizes | None:
    """Return the sizes of a method's own readout, None when it uses the model's head. Raises
    RecipeError for a single decoder layer.
    """
    if name not in (*TRAINED_WITH_MODEL, *TRAINED_ON_MODEL):
        return None
    if config.num_decoder_layers == 1:
        raise RecipeError(
            f"the method {name} needs a layer to leave after, the model has one decoder layer",
            "take a deeper model",
        )
    if name == "deecap":
        return ReadoutSizes("imitation", config.num_decoder_layers, config.embed_dim)
    return ReadoutSizes(
        "heads",
        config.num_decoder_layers,
        config.embed_dim,
        len(TASKS[recipe.task].answers) or config.vocab_size,
    )


def stage(
    recipe: Recipe, model: OFA, readout: TrainedReadout | None, answer_ids: Sequence[int]
) -> Stage:
    """Return how a model is trained, with the readout that goes along. answer_ids: the tokens of a
    closed set, none for captions.
    """
    how = (recipe.training, recipe.model.decompose, answer_ids)
    if readout is None:
        return stages.shared_head(model, *how)
    if isinstance(readout, ImitationReadout):
        return stages.imitation(model, readout, *how)
    return stages.layer_heads(model, readout, *how)


def batch(recipe: Recipe, vocabulary: Vocabulary, examples: Sequence[Example]) -> Batch:
    """Make a batch of examples, with the recipe's task, image size and text lengths."""
    data = recipe.data
    return collate(
        examples,
        vocabulary,
        data.image_size,
        TASKS[recipe.task],
        data.max_source_tokens,
        data.max_target_tokens,
    )


def method(
    recipe: Recipe, name: str, thresholds: Mapping[str, float], readout: Readout | None = None
) -> Method:
    """Return a method by name.

    thresholds: by stream; for static, exit layers; for pabee, its patience. readout: of the methods
    that have one of their own.
    """
    decompose, policy = recipe.model.decompose, skipped_layers(recipe)
    match name, thresholds.get("decoder", math.inf), readout:
        case "full", _, _:
            return methods.full(decompose)
        case "oracle", _, _:
            return methods.oracle(decompose)
        case "static", _, _:
            return methods.static(
                {stream: int(layer) for stream, layer in thresholds.items()}, decompose, policy
            )
        case "mue", _, _:
            return methods.mue(thresholds, decompose, decay(recipe, name), policy)
        case "calm", threshold, _:
            return methods.calm(threshold, decompose, decay(recipe, name), policy)
        case "deebert", threshold, heads if heads is not None:
            return methods.deebert(threshold, heads, decompose, policy)
        case "pabee", patience, heads if heads is not None:
            return methods.pabee(patience, heads, decompose, policy)
        case "deecap", threshold, imitation if imitation is not None:
            return methods.deecap(threshold, imitation, decompose, policy)
    if name in (*TRAINED_WITH_MODEL, *TRAINED_ON_MODEL):
        raise RecipeError(
            f"the method {name} needs its readout", f"mue finetune --method {name} trains it"
        )
    raise RecipeError(
        f"unknown method `{name}`", did_you_mean(name, ("full", "static", "oracle", *CALIBRATED))
    )


def decay(recipe: Recipe, name: str = "mue") -> Decay | None:
    """Return Eq. 11's decay for captions under mue and calm; closed-set answers have one step and
    none (as in the release).
    """
    if recipe.task == "entailment" or name not in ("mue", "calm"):
        return None
    return Decay(recipe.exits.beta, recipe.exits.tau, recipe.exits.full_depth_steps)


def search_settings(recipe: Recipe) -> dict[str, float]:
    """Return what thresholds depend on in the search: rules look at all hypotheses together, and
    Eq. 11 at the longest caption.
    """
    return (
        {}
        if recipe.task == "entailment"
        else {"beam": recipe.search.beam, "max_tokens": recipe.search.max_tokens}
    )


def decay_settings(recipe: Recipe, name: str = "mue") -> dict[str, float]:
    """Return Eq. 11's settings by name, none where nothing decays."""
    settings = decay(recipe, name)
    return asdict(settings) if settings else {}


def skipped_layers(recipe: Recipe) -> SkippedLayers:
    """Return the policy for skipped decoder layers; closed-set answers have one step, and the
    default, which never comes to bear.
    """
    return (
        ExitsSection.skipped_layers if recipe.task == "entailment" else recipe.exits.skipped_layers
    )


def streams(recipe: Recipe, name: str = "mue") -> tuple[str, ...]:
    """Return the names of the streams that have a rule under a method."""
    if name in DECODER_ONLY:
        return ("decoder",)
    return ("image", "text", "decoder") if recipe.model.decompose else ("joint", "decoder")


def fixed_thresholds(exits: ExitsSection) -> dict[str, float]:
    """Return the thresholds that a recipe states itself."""
    stated = {
        "image": exits.image,
        "text": exits.text,
        "joint": exits.joint,
        "decoder": exits.decoder,
    }
    return {stream: value for stream, value in stated.items() if value is not None}
