"""Our checkpoint: one safetensors file, weights under OFA's parameter names and the sizes in its header. No code runs when it is read."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mue_cli.errors import CheckpointError, MissingStepError
from mue_cli.files import replacing
from mue_cli.model.config import OFAConfig
from mue_cli.model.ofa import OFA

FORMAT = "mue-1"
TIED = "decoder.embed_tokens.weight"
COUNTER = "num_batches_tracked"


def save(model: OFA, path: Path) -> None:
    """Write weights and sizes; the file appears whole or not at all."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if _is_stored(name)}
    with replacing(path) as unfinished:
        save_file(weights, unfinished, metadata={"format": FORMAT, "config": json.dumps(asdict(model.config))})


def load(path: Path, device: torch.device | None = None) -> OFA:
    """Build the model a checkpoint describes and fill it, in evaluation mode.

    Raises MissingStepError when there is no file, CheckpointError when it is damaged or its tensors are not exactly the model's.
    """
    if not path.is_file():
        raise MissingStepError(f"no checkpoint at {path}", hint="`mue finetune` writes it")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or is cut short: {error}", hint="write it again with `mue finetune`"
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this program (format {header.get('format')!r}, expected {FORMAT!r})")
    model = OFA(_config(header, path))
    fill(model, weights, path)
    return model.to(device or "cpu").eval()


def fill(model: OFA, weights: dict[str, Tensor], source: Path) -> None:
    """Copy weights into the model. Raises CheckpointError naming tensors that are missing, unknown, misshapen or not finite."""
    wanted = {name: tensor for name, tensor in model.state_dict().items() if _is_stored(name)}
    problems = [f"missing {name}" for name in wanted if name not in weights]
    problems += [f"unknown {name}" for name in weights if name not in wanted]
    for name in wanted.keys() & weights.keys():
        found, expected = weights[name], wanted[name]
        if found.shape != expected.shape:
            problems.append(f"{name} is {tuple(found.shape)}, expected {tuple(expected.shape)}")
        elif not torch.isfinite(found).all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{source} does not fit the model: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(weights, strict=False)


def _is_stored(name: str) -> bool:
    return name != TIED and not name.endswith(COUNTER)


def _config(header: dict[str, str], path: Path) -> OFAConfig:
    try:
        values = json.loads(header["config"])
        return OFAConfig(**{**values, "resnet_blocks": tuple(values["resnet_blocks"])})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not say its sizes: {error}") from error
