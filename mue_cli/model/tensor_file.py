"""A file of named tensors, safetensors or PyTorch's, recognised by its first bytes. Reading it runs
no code.

A PyTorch file is a pickle: it goes through `torch.load(weights_only=True)`, which builds tensors,
plain containers and the few harmless kinds listed here, and refuses everything else. Tensors are
mapped from disk and handed out in small groups, so that a model being filled needs little more
memory than its own weights.
"""

import argparse
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mue_cli.errors import CheckpointError
from mue_cli.files import replacing
from mue_cli.model.convert import Shape

GROUP_BYTES = 64 * 2**20
"""Tensors of about so many bytes are mapped at once."""

_DAMAGED_HINT = "fetch or write it again"
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,  # fairseq's settings
    np.dtype,  # and the scores in its training state
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
)


Mapped = Callable[[], AbstractContextManager[Callable[[str], Tensor]]]


@dataclass(frozen=True)
class TensorFile:
    """path: where it is. shapes: name -> shape, known without reading data. mapped: opens the file
    to look tensors up by name. metadata: what a safetensors header says. settings: fairseq's
    settings of the model, None where there are none.
    """

    path: Path
    shapes: Mapping[str, Shape]
    mapped: Mapped
    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each named tensor. It is mapped from disk: copy what is needed and let it go."""
        for group in _groups(names, self.shapes):
            with self.mapped() as look_up:
                for name in group:
                    yield name, look_up(name)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors and a header as safetensors; the file appears whole or not at all.

    Equal tensors and metadata give equal bytes.
    """
    with replacing(path) as unfinished:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            unfinished,
            metadata=dict(metadata),
        )
        if metadata:
            _sort_metadata(unfinished)


def _sort_metadata(path: Path) -> None:
    """Put a header's metadata in the order of its names; safetensors' own is random."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > size:
            raise ValueError(f"the header of {path} grew from {size} to {len(text)} bytes")
        file.seek(8)
        file.write(text.ljust(size))


def open_tensors(path: Path, ema: bool = False) -> TensorFile:
    """Open a file of tensors. ema: the averaged weights of a fairseq file instead of the last ones.

    Raises CheckpointError when it is no such file, is damaged or cut short, would run code, or
    holds no averaged weights.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    if start[8:9] == b"{":
        if ema:
            raise CheckpointError(
                f"{path} holds no averaged weights", "only fairseq files do; leave out model.ema"
            )
        return _open_safetensors(path)
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        return _open_pickle(path, ema)
    raise CheckpointError(
        f"{path} is neither a safetensors nor a PyTorch file, or is cut short", _DAMAGED_HINT
    )


def _open_safetensors(path: Path) -> TensorFile:
    @contextmanager
    def mapped() -> Iterator[Callable[[str], Tensor]]:
        try:
            with safe_open(path, framework="pt") as file:
                yield file.get_tensor
        except SafetensorError as error:
            raise CheckpointError(f"cannot read {path}: {error}", _DAMAGED_HINT) from None

    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
            return TensorFile(path, shapes, mapped, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or is cut short: {error}", _DAMAGED_HINT
        ) from None


def _open_pickle(path: Path, ema: bool) -> TensorFile:
    content = _unpickle(path)
    weights = _weights(content, path, ema)
    in_memory = None if zipfile.is_zipfile(path) else weights

    @contextmanager
    def mapped() -> Iterator[Callable[[str], Tensor]]:
        yield (_weights(_unpickle(path), path, ema) if in_memory is None else in_memory).__getitem__

    odd = next(
        (
            name
            for name, value in weights.items()
            if not (isinstance(name, str) and _is_plain(value))
        ),
        None,
    )
    if odd is not None:
        kind = (
            "tensor without all its numbers"
            if isinstance(weights[odd], Tensor)
            else type(weights[odd]).__name__
        )
        raise CheckpointError(
            f"{path} holds no weights: {odd!r} is a {kind}, expected a tensor with a name",
            "is it the right file?",
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return TensorFile(path, shapes, mapped, settings=_fairseq_settings(content))


def _is_plain(value: object) -> bool:
    """Tell whether a value is a tensor that holds each of its numbers: a row that is repeated
    without end is small in the file only.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.untyped_storage().nbytes() >= value.nbytes


def _unpickle(path: Path) -> Mapping[str, Any]:
    """Return what a PyTorch file holds, its tensors mapped from disk; files from before PyTorch 1.6
    are read into memory.
    """
    try:
        with torch.serialization.safe_globals(list(_HARMLESS)):
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # damaged bytes raise whatever they happen to lead to
        builds = re.search(r"GLOBAL ([\w.]+)", str(error))
        if builds:
            what = f"it would run or build `{builds[1]}`, which plain weights never need"
            raise CheckpointError(
                f"{path} is refused: {what}", "take the weights from a source you trust"
            ) from None
        raise CheckpointError(
            f"{path} is damaged or cut short: {_reason(error)}", _DAMAGED_HINT
        ) from None
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, expected tensors by name",
            "is it the right file?",
        )
    return content


def _reason(error: Exception) -> str:
    """Return what is wrong in a line: PyTorch surrounds it with advice for programmers."""
    said = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
    return said.splitlines()[0].partition(". ")[0]


def _weights(content: Mapping[str, Any], path: Path, ema: bool) -> Mapping[str, Any]:
    """Return the tensors of a file: all it holds, or the part of fairseq's container that was
    chosen.
    """
    if not ema:
        inner = content.get("model")
        return inner if isinstance(inner, Mapping) else content
    state = content.get("extra_state")
    averaged = state.get("ema") if isinstance(state, Mapping) else None
    if not isinstance(averaged, Mapping):
        raise CheckpointError(
            f"{path} holds no averaged weights", "leave out model.ema to take the last ones"
        )
    return averaged


def _fairseq_settings(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model's settings: cfg.model, or args of older files."""
    cfg = content.get("cfg")
    for settings in (cfg.get("model") if isinstance(cfg, Mapping) else None, content.get("args")):
        if isinstance(settings, argparse.Namespace):
            return vars(settings)
        if isinstance(settings, Mapping):
            return settings
    return None


def _groups(names: Sequence[str], shapes: Mapping[str, Shape]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for name in names:
        group.append(name)
        size += 4 * int(np.prod(shapes[name]))
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
