"""What a frozen image trunk makes of the pictures, computed once and kept beside the prepared data,
so that a step costs what the transformer costs.

    data/<dataset>/features/<key>.bf16    bfloat16, (N, h, w, C), by picture row; mapped, not read
    data/<dataset>/features/<key>.json    shape, done; while it grows the file ends in .part

The key is a digest of the trunk's weights, the picture size, the pictures, and the code that
computes them. A run that was stopped is gone on with: `done` says how many rows are on the disk.
Shape letters: N pictures, h and w the patch grid, C channels.
"""

import fcntl
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from mue_cli.data import images as images_module
from mue_cli.data.ahead import ahead
from mue_cli.data.disk import require_room, writing
from mue_cli.data.images import preprocess
from mue_cli.errors import DataError
from mue_cli.files import write_text
from mue_cli.model import resnet as resnet_module
from mue_cli.model.resnet import ResNet

FOLDER = "features"
NUMBER_BYTES = 2
PICTURES_AT_ONCE = 32
ROWS_PER_NOTE = 512
"""After so many rows the disk is waited for and the place noted."""


class Pictures(Protocol):
    """Pictures by row."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Image: ...


Progress = Callable[[int, int, str], None]
"""progress(pictures done, pictures in all, a note)"""


@dataclass(frozen=True)
class FeatureShape:
    """rows: pictures. height, width: the patch grid. channels: what the trunk ends with."""

    rows: int
    height: int
    width: int
    channels: int

    @property
    def bytes(self) -> int:
        """Return how many bytes the file has."""
        return NUMBER_BYTES * self.rows * self.row_numbers

    @property
    def row_numbers(self) -> int:
        """Return how many numbers a picture has."""
        return self.height * self.width * self.channels


class Features:
    """A file of features, read row by row."""

    def __init__(self, path: Path, shape: FeatureShape) -> None:
        self.path = path
        self.shape = shape
        self._rows = np.memmap(
            path, dtype=np.int16, mode="r", shape=(shape.rows, shape.row_numbers)
        )

    def __len__(self) -> int:
        return self.shape.rows

    def __getitem__(self, row: int) -> Tensor:
        """Return a picture's features, (h, w, C) in bfloat16."""
        numbers = torch.from_numpy(np.array(self._rows[row])).view(torch.bfloat16)
        return numbers.view(self.shape.height, self.shape.width, self.shape.channels)


def features_key(trunk: ResNet, size: int, pictures: str) -> str:
    """Return the name of a trunk's features at a picture size. pictures: what tells prepared
    folders apart, such as the checksums in a manifest.
    """
    digest = hashlib.sha256(f"{size} {pictures}".encode())
    for module in (resnet_module, images_module):
        digest.update(inspect.getsource(module).encode())
    for name, tensor in sorted(trunk.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def features_shape(trunk: ResNet, size: int, rows: int) -> FeatureShape:
    """Return the shape that the features of so many pictures will have."""
    side = -(-size // 16)  # the stem and two stages halve, rounding up
    return FeatureShape(rows, side, side, trunk.out_channels)


def cached_features(
    trunk: ResNet,
    pictures: Pictures,
    size: int,
    folder: Path,
    key: str,
    device: torch.device,
    progress: Progress = lambda done, total, note: None,
) -> Features:
    """Return the features of all pictures, computing what is not there yet. The trunk must be
    frozen.

    folder: of the prepared data. Raises DataError when the disk lacks room or cannot be written.
    """
    shape = features_shape(trunk, size, len(pictures))
    path = folder / FOLDER / f"{key}.bf16"
    if not path.exists():
        with writing(path.parent):
            path.parent.mkdir(exist_ok=True)
            with _alone(path.with_suffix(".lock")):
                if not path.exists():  # another run may have made it while this one waited
                    _compute(trunk, pictures, size, path, shape, device, progress)
    if path.stat().st_size != shape.bytes:
        raise DataError(f"`{path}` is cut short", f"remove it: {path.parent} is made again")
    return Features(path, shape)


def _compute(
    trunk: ResNet,
    pictures: Pictures,
    size: int,
    path: Path,
    shape: FeatureShape,
    device: torch.device,
    progress: Progress,
) -> None:
    unfinished, note = path.with_suffix(".part"), path.with_suffix(".json")
    done = _done(unfinished, note, shape)
    require_room({path.parent: shape.bytes - done * NUMBER_BYTES * shape.row_numbers})
    said = f"{shape.bytes / 1e9:.1f} GB in {path.parent}"
    progress(done, shape.rows, said)
    with unfinished.open("r+b" if done else "wb") as file:
        file.truncate(done * NUMBER_BYTES * shape.row_numbers)
        file.seek(0, os.SEEK_END)
        for part in _features_of(trunk, pictures, range(done, shape.rows), size, device):
            file.write(part.cpu().contiguous().view(torch.int16).numpy().tobytes())
            done += len(part)
            progress(done, shape.rows, said)
            if done % ROWS_PER_NOTE < PICTURES_AT_ONCE or done == shape.rows:
                file.flush()
                os.fsync(file.fileno())
                write_text(note, json.dumps({**asdict(shape), "done": done}))
    unfinished.replace(path)


def _done(unfinished: Path, note: Path, shape: FeatureShape) -> int:
    """Return how many rows an earlier run is known to have written."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        done = int(noted.pop("done"))
        whole = unfinished.stat().st_size >= done * NUMBER_BYTES * shape.row_numbers
        return done if whole and noted == asdict(shape) else 0
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


@torch.no_grad()
def _features_of(
    trunk: ResNet, pictures: Pictures, rows: range, size: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield (b, h, w, C) in bfloat16, in the order of the rows."""
    was_training, home = trunk.training, trunk.conv1.weight.device
    trunk.to(device).eval()
    starts = range(rows.start, rows.stop, PICTURES_AT_ONCE)
    try:
        parts = ahead(
            lambda start: preprocess(
                [pictures[row] for row in range(start, min(start + PICTURES_AT_ONCE, rows.stop))],
                size,
            ),
            starts,
            window=4,
        )
        for pixels in parts:
            features = trunk(pixels.to(device))
            yield features.permute(0, 2, 3, 1).to(torch.bfloat16)
    finally:
        trunk.to(home).train(was_training)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for another run that computes the same."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
