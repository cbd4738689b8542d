"""A readout and its file: safetensors, with kind and sizes in the header. Reading it runs no code."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mue_cli.errors import CheckpointError, RecipeError
from mue_cli.exits.heads import ImitationReadout, LayerHeads
from mue_cli.model.tensor_file import TensorFile, open_tensors, write_tensors
from mue_cli.schema.schema import Count, build

FORMAT = "mue-readout-1"

TrainedReadout = LayerHeads | ImitationReadout


@dataclass(frozen=True)
class ReadoutSizes:
    """What a readout is made for. num_classes: the vocabulary, or the answers of a closed set; an
    imitation network serves any number.
    """

    kind: Literal["heads", "imitation"]
    num_layers: Count
    embed_dim: Count
    num_classes: Count | None = None

    def __str__(self) -> str:
        classes = "" if self.num_classes is None else f" and {self.num_classes} classes"
        return f"{self.kind} for {self.num_layers} layers, {self.embed_dim} dimensions{classes}"


def make(sizes: ReadoutSizes) -> TrainedReadout:
    """Return a fresh readout."""
    if sizes.num_classes is None:
        return ImitationReadout(sizes.num_layers, sizes.embed_dim)
    return LayerHeads(sizes.num_layers, sizes.embed_dim, sizes.num_classes)


def save(readout: TrainedReadout, sizes: ReadoutSizes, path: Path) -> None:
    """Write weights, kind and sizes; the file appears whole or not at all."""
    write_tensors(
        readout.state_dict(), path, {"format": FORMAT, "sizes": json.dumps(asdict(sizes))}
    )


def load(path: Path, wanted: ReadoutSizes, device: torch.device | None = None) -> TrainedReadout:
    """Return the readout of a file, in evaluation mode.

    Raises CheckpointError when the file is damaged or no readout, is made for other sizes than
    wanted, or its tensors are not its own.
    """
    file = open_tensors(path)
    found = _sizes(file)
    if found != wanted:
        raise CheckpointError(
            f"{path} holds {found}, the model needs {wanted}",
            "it belongs to another model: train it anew",
        )
    with torch.device("meta"):
        readout = make(wanted)
    _check(file, readout)
    readout.to_empty(device=device or "cpu")
    own = readout.state_dict()
    for name, tensor in file.read(list(own)):
        if not torch.isfinite(own[name].copy_(tensor)).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite", "train it anew")
    return readout.eval()


def _sizes(file: TensorFile) -> ReadoutSizes:
    if file.metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{file.path} holds no readout", "take a file that `mue finetune` wrote"
        )
    try:
        values: Any = json.loads(file.metadata["sizes"])
        return build(ReadoutSizes, values, lambda key: f"{file.path}")
    except (KeyError, ValueError, RecursionError, RecipeError) as error:
        raise CheckpointError(
            f"{file.path} does not say its sizes: {error}", "take a file that `mue finetune` wrote"
        ) from None


def _check(file: TensorFile, readout: TrainedReadout) -> None:
    """Raise CheckpointError naming tensors that are missing, unknown or misshapen."""
    wanted = {name: tuple(tensor.shape) for name, tensor in readout.state_dict().items()}
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
