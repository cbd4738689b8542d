"""A model and its file: ours is safetensors with the sizes in its header; released files, Hugging
Face's or fairseq's, load as well.

Which of them a file is, its content says. Weights end as float32 under Hugging Face's names,
whatever the file has.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from mue_cli.errors import CheckpointError, FileError, MissingStepError
from mue_cli.files import read_text
from mue_cli.model.config import OFAConfig, changed
from mue_cli.model.convert import (
    SHARED_EMBEDDING,
    TIED,
    Shape,
    carried_shapes,
    hf_name,
    is_buffer,
    is_fairseq,
)
from mue_cli.model.ofa import OFA
from mue_cli.model.released_settings import (
    Settings,
    checked_config,
    config_of,
    settings_from_fairseq,
    settings_from_hf,
)
from mue_cli.model.tensor_file import TensorFile, open_tensors, write_tensors
from mue_cli.model.unfilled import allocate, unfilled

FORMAT = "mue-1"
SETTINGS_FILE = "config.json"
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def save(model: OFA, path: Path) -> None:
    """Write weights and sizes; the file appears whole or not at all."""
    write_tensors(
        weights_of(model), path, {"format": FORMAT, "config": json.dumps(asdict(model.config))}
    )


def sizes(path: Path) -> OFAConfig:
    """Return the sizes of the model in a file; its weights are not read. Raises CheckpointError
    when it holds none.
    """
    file = open_tensors(path)
    return _config(file, {name: file.shapes[original] for name, original in _names(file).items()})


def weights_of(model: OFA) -> dict[str, Tensor]:
    """Return what a file of the model holds: its parameters and statistics, each once, and what was
    carried along.
    """
    own = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in TIED
    }
    return {name: tensor for name, tensor in (own | model.carried).items() if not is_buffer(name)}


def load(
    path: Path,
    device: torch.device | None = None,
    ema: bool = False,
    changes: Mapping[str, object] | None = None,
) -> OFA:
    """Build the model a file describes and fill it, in evaluation mode.

    ema: take the averaged weights of a fairseq file. changes: fields of OFAConfig to replace, such
    as dropout; no tensor may change its shape. A Hugging Face file's settings are those of
    config.json beside it, when there is one. Raises TypeError for an unknown field and RecipeError
    for its value, MissingStepError when there is no file, CheckpointError when it is damaged, or
    its tensors are not exactly the model's.
    """
    if not path.is_file():
        raise MissingStepError(f"no checkpoint at {path}", hint="`mue finetune` writes it")
    file = open_tensors(path, ema)
    names = _names(file)
    shapes = {name: file.shapes[original] for name, original in names.items()}
    config = changed(_config(file, shapes), changes or {})
    if max(config.num_encoder_layers, config.num_decoder_layers, *config.resnet_blocks) > len(
        shapes
    ):
        _raise_for(["it says more layers than it has tensors"], path)
    with unfilled():
        model = OFA(config)
    _check_shapes(model, shapes, path, carried_needed=file.metadata.get("format") != FORMAT)
    _check_tied(file, names)
    allocate(model, device)
    model.decoder.tie_head()
    _fill(model, file, {name: original for name, original in names.items() if name not in TIED})
    return model.eval()


def _names(file: TensorFile) -> dict[str, str]:
    """Return Hugging Face's name -> the file's own. Raises CheckpointError when a tensor is there
    under both.
    """
    names: dict[str, str] = {}
    for original in file.shapes:
        name = hf_name(original)
        if name in names:
            _raise_for([f"{names[name]} and {original} are the same tensor"], file.path)
        if not is_buffer(name):
            names[name] = original
    return names


def _config(file: TensorFile, shapes: Mapping[str, Shape]) -> OFAConfig:
    if file.metadata.get("format") == FORMAT:
        return _own_config(file.metadata, file.path)
    return config_of(shapes, _settings(file), str(file.path))


def _own_config(header: Mapping[str, str], path: Path) -> OFAConfig:
    try:
        values = json.loads(header["config"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} does not say its sizes: {error}", "take a checkpoint that `mue finetune` wrote"
        ) from None
    return checked_config(values, str(path))


def _settings(file: TensorFile) -> Settings:
    if file.settings is not None:
        return settings_from_fairseq(file.settings, str(file.path))
    beside = file.path.with_name(SETTINGS_FILE)
    if not beside.is_file() or any(map(is_fairseq, file.shapes)):
        return Settings()
    try:
        raw = json.loads(read_text(beside))
    except (FileError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {beside}: {error}", "fetch it again") from None
    if not isinstance(raw, dict):
        raise CheckpointError(f"{beside} holds no settings", "fetch it again")
    return settings_from_hf(raw, str(beside))


def _check_shapes(
    model: OFA, shapes: Mapping[str, Shape], source: Path, carried_needed: bool
) -> None:
    """Raise CheckpointError naming tensors that are missing, unknown or misshapen."""
    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not is_buffer(name) and name not in TIED
    }
    carried = carried_shapes(model.config)
    tied = dict.fromkeys(TIED, wanted[SHARED_EMBEDDING])
    needed = wanted | (carried if carried_needed else {})
    problems = [f"missing {name}" for name in needed if name not in shapes]
    known = wanted | carried | tied
    problems += [f"unknown {name}" for name in shapes if name not in known]
    problems += [
        f"{name} is {shape}, expected {known[name]}"
        for name, shape in shapes.items()
        if name in known and shape != known[name]
    ]
    _raise_for(problems, source)


def _check_tied(file: TensorFile, names: Mapping[str, str]) -> None:
    """Raise CheckpointError when copies of the shared embedding differ: then the head is not the
    embedding, as it is here.
    """
    stored = [names[name] for name in (SHARED_EMBEDDING, *TIED) if name in names]
    # All at once: names of one tensor in the file are one tensor here, and nothing is compared.
    with file.mapped() as look_up:
        first, *others = map(look_up, stored)
        same = [copy.data_ptr() == first.data_ptr() or _equal(copy, first) for copy in others]
    _raise_for(
        [
            f"{name} differs from {stored[0]}"
            for name, equal in zip(stored[1:], same, strict=True)
            if not equal
        ],
        file.path,
    )


def _equal(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors are the same, NaN included: what is not finite, or of another kind,
    is named when the model is filled.
    """
    return a.dtype == b.dtype and (a.dtype not in DTYPES or torch.equal(a, b) or not _all_finite(a))


def _fill(model: OFA, file: TensorFile, names: Mapping[str, str]) -> None:
    """Copy weights into the model. Raises CheckpointError naming tensors of other kinds of numbers,
    or that are not finite.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in TIED}
    for name, tensor in own.items():
        if is_buffer(name):
            tensor.zero_()
    ours = {original: name for name, original in names.items()}
    problems = []
    for original, tensor in file.read(list(ours)):
        name = ours[original]
        if tensor.dtype not in DTYPES:
            problems.append(
                f"{name} is {tensor.dtype}, expected one of {', '.join(map(str, DTYPES))}"
            )
            continue
        kept = (
            own[name] if name in own else model.carried.setdefault(name, torch.empty(tensor.shape))
        )
        if not _all_finite(kept.copy_(tensor)):
            problems.append(f"{name} has values that are not finite")
    _raise_for(problems, file.path)


def _all_finite(tensor: Tensor) -> bool:
    """Both extremes are NaN when any value is. `torch.isfinite` would need twice the tensor's
    memory.
    """
    return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))


def _raise_for(problems: Iterable[str], source: Path) -> None:
    named = list(problems)
    if named:
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        raise CheckpointError(
            f"{source} does not fit the model: {'; '.join(named[:3])}{more}",
            "is the file whole, and of an OFA?",
        )
