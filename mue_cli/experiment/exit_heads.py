"""Exit heads of a method's own, and their file: safetensors, with kind and sizes in the header.

Reading one runs no code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from mue_cli.data.tasks import Task
from mue_cli.errors import CheckpointError, MissingStepError, RecipeError
from mue_cli.exits.catalogue import CATALOGUE, MethodSpec, encoder_streams
from mue_cli.exits.gate import Gates
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.inference.precision import head_at_precision
from mue_cli.model import checkpoint
from mue_cli.model.config import OFAConfig
from mue_cli.model.tensor_file import TensorFile, open_tensors, write_tensors
from mue_cli.model.unfilled import allocate, unfilled
from mue_cli.schema.schema import Count, build

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

FORMAT = "mue-exit-head-1"
KINDS = {"layers": "internal classifiers", "imitation": "imitation network", "gates": "gates"}

TrainedHead = LayerHeads | ImitationHead | Gates


@dataclass(frozen=True)
class HeadSizes:
    """The sizes of an exit head.

    num_layers: of the decoder. num_classes: the vocabulary, or the answers of a closed set; an
    imitation network and gates serve any number. encoder_layers: by stream, where gates let it
    leave.
    """

    kind: Literal["layers", "imitation", "gates"]
    num_layers: Count
    embed_dim: Count
    num_classes: Count | None = None
    encoder_layers: Mapping[str, Count] = field(default_factory=dict)

    def __str__(self) -> str:
        classes = "" if self.num_classes is None else f" and {self.num_classes} classes"
        streams = "".join(f", {count} of {name}" for name, count in self.encoder_layers.items())
        return f"{KINDS[self.kind]} for {self.num_layers} layers{streams}, {self.embed_dim} " + (
            f"dimensions{classes}"
        )


def head_sizes(
    spec: MethodSpec, task: Task, config: OFAConfig, decompose: bool = True
) -> HeadSizes | None:
    """Return the sizes of a method's own exit head, None when it uses the model's.

    decompose: image and text are two streams. Raises RecipeError for a single decoder layer.
    """
    if not spec.has_own_head:
        return None
    layers, dim = config.num_decoder_layers, config.embed_dim
    if layers == 1:
        raise RecipeError(
            f"the method {spec.name} needs a layer to leave after, the model has one decoder layer",
            "take a deeper model",
        )
    if spec.head == "imitation":
        return HeadSizes("imitation", layers, dim)
    if spec.head == "gates":
        encoder = dict.fromkeys(encoder_streams(decompose), config.num_encoder_layers)
        return HeadSizes("gates", layers, dim, encoder_layers=encoder)
    return HeadSizes("layers", layers, dim, len(task.answers) or config.vocab_size)


def make(sizes: HeadSizes) -> TrainedHead:
    """Return a fresh exit head."""
    if sizes.kind == "gates":
        return Gates({**sizes.encoder_layers, "decoder": sizes.num_layers})
    if sizes.num_classes is None:
        return ImitationHead(sizes.num_layers, sizes.embed_dim)
    return LayerHeads(sizes.num_layers, sizes.embed_dim, sizes.num_classes)


def save(head: TrainedHead, sizes: HeadSizes, path: Path) -> None:
    """Write weights, kind and sizes; the file appears whole or not at all."""
    write_tensors(head.state_dict(), path, {"format": FORMAT, "sizes": json.dumps(asdict(sizes))})


def load(path: Path, wanted: HeadSizes, device: torch.device | None = None) -> TrainedHead:
    """Return the exit head of a file, in evaluation mode.

    Raises CheckpointError when the file is damaged or no exit head, is made for other sizes than
    wanted, or its tensors are not its own.
    """
    file = open_tensors(path)
    sizes = _sizes(file)
    if sizes != wanted:
        raise CheckpointError(
            f"{path} holds {sizes}, the model needs {wanted}",
            "it belongs to another model: train it anew",
        )
    with unfilled():
        head = make(wanted)
    _check(file, head)
    allocate(head, device)
    own = head.state_dict()
    for name, tensor in file.read(list(own)):
        if not torch.isfinite(own[name].copy_(tensor)).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite", "train it anew")
    return head.eval()


def _sizes(file: TensorFile) -> HeadSizes:
    if file.metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{file.path} holds no exit head", "take a file that `mue finetune` wrote"
        )
    try:
        values: Any = json.loads(file.metadata["sizes"])
        return build(HeadSizes, values, lambda key: f"{file.path}")
    except (KeyError, ValueError, RecursionError, RecipeError) as error:
        raise CheckpointError(
            f"{file.path} does not say its sizes: {error}", "take a file that `mue finetune` wrote"
        ) from None


def _check(file: TensorFile, head: TrainedHead) -> None:
    """Raise CheckpointError naming tensors that are missing, unknown or misshapen."""
    wanted = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    problems = [f"missing {name}" for name in wanted if name not in file.shapes]
    problems += [f"unknown {name}" for name in file.shapes if name not in wanted]
    problems += [
        f"{name} is {file.shapes[name]}, expected {shape}"
        for name, shape in wanted.items()
        if file.shapes.get(name, shape) != shape
    ]
    if problems:
        raise CheckpointError(
            f"{file.path} does not fit its own sizes: {'; '.join(problems[:3])}",
            "is the file whole? train it anew",
        )


def open_head(experiment: "Experiment", name: str) -> TrainedHead | None:
    """Return the exit head of a method that a run has, at the recipe's precision; None when the
    method uses the model's.

    Raises MissingStepError before it was trained, CheckpointError when it is another model's.
    """
    spec = CATALOGUE.get(name)
    if spec is None or not spec.has_own_head:
        return None
    run, path = experiment.run, experiment.run.exit_head(name)
    if spec.training == "model and head" and not path.exists():
        raise MissingStepError(
            f"no {path.name} in `{run.folder}`",
            f"it is trained with the model: mue finetune --method {name} --run ANOTHER-FOLDER",
        )
    run.need(path, f"finetune --method {name}")
    config = checkpoint.sizes(experiment.weights.weights)
    sizes = head_sizes(spec, experiment.task, config, experiment.recipe.model.decompose)
    assert sizes is not None
    head = load(path, sizes, experiment.device)
    if isinstance(head, Gates):  # a handful of numbers, whose scales half precision would spoil
        return head
    return cast(TrainedHead, head_at_precision(head, experiment.precision))
