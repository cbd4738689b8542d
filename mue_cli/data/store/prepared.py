"""Reading a prepared folder: lazy examples over memory-mapped tables. Its layout: storage.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from torch import Tensor

from mue_cli.data.batches import Example
from mue_cli.data.images import decode_image, resize
from mue_cli.data.store.manifest import TOKENIZER, Manifest, num_texts, read_manifest
from mue_cli.data.store.stored_pictures import open_pictures, require_pictures
from mue_cli.data.store.tables import TABLE, columns_of, open_table, require_values
from mue_cli.data.tasks import CAPTION, TASKS, Task, TextRow
from mue_cli.errors import DataError

MAX_KEPT_BYTES = 512 * 2**20
BYTES_PER_KEPT_PIXEL = 4  # Pillow pads RGB


class Pictures(Protocol):
    """Pictures by row, or what stands for them."""

    def __getitem__(self, row: int) -> Image.Image | Tensor: ...


class Images:
    """Pictures by row, decoded when asked for. With a size they come resized, and stay in memory if
    all `num_used` fit (None: they do not).
    """

    def __init__(self, column: pa.ChunkedArray, size: int | None, num_used: int | None) -> None:
        self._column = column
        self._size = size
        self._keep = (
            size is not None
            and num_used is not None
            and num_used * size * size * BYTES_PER_KEPT_PIXEL <= MAX_KEPT_BYTES
        )
        self._kept: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: int) -> Image.Image:
        if row in self._kept:
            return self._kept[row]
        image = decode_image(self._column[row].as_py())
        if self._size is not None:
            image = resize(image, self._size)
        if self._keep:
            self._kept[row] = image
        return image


class Examples(Sequence[Example]):
    """Examples made when asked for. A slice is as lazy as the whole."""

    def __init__(self, read: Callable[[int], TextRow], images: Pictures, rows: range) -> None:
        self._read = read
        self._images = images
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def image_id(self, index: int) -> str:
        """Return the picture's id of an example without touching it."""
        return self._read(self._rows[index]).image_id

    def source(self, index: int) -> str:
        """Return the encoder's text of an example without touching its picture."""
        return self._read(self._rows[index]).source

    def with_shuffled_pictures(self, seed: int) -> "Examples":
        """Return the same examples, each with another's picture: one picture's examples share
        another one, which is never their own.

        Raises DataError when all examples show one picture.
        """
        pictures = list(dict.fromkeys(self._read(row).image for row in self._rows))
        if len(pictures) < 2:
            raise DataError(
                "pictures cannot be shuffled: all samples show the same one",
                hint="raise evaluation.samples, or leave out evaluation.shuffled_pictures",
            )
        drawn = [pictures[i] for i in np.random.default_rng(seed).permutation(len(pictures))]
        others = dict(zip(drawn, (*drawn[1:], drawn[0]), strict=True))
        return Examples(self._read, _Others(self._images, others), self._rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> "Examples": ...

    def __getitem__(self, index: int | slice) -> "Example | Examples":
        if isinstance(index, slice):
            return Examples(self._read, self._images, self._rows[index])
        row = self._read(self._rows[index])
        return Example(
            row.sample_id,
            row.image_id,
            self._images[row.image],
            row.source,
            row.target,
            row.references,
        )


@dataclass(frozen=True)
class _Others:
    """Pictures by row, each in another's place. others: row -> the row whose picture it shows."""

    pictures: Pictures
    others: Mapping[int, int]

    def __getitem__(self, row: int) -> Image.Image | Tensor:
        return self.pictures[self.others[row]]


class PreparedData:
    """A folder that `mue prepare` wrote."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: Path) -> "PreparedData":
        """Raises MissingStepError when nothing was prepared there, DataError when it cannot be
        read.
        """
        return cls(root, read_manifest(root))

    @property
    def tokenizer_path(self) -> Path:
        return self.root / TOKENIZER

    @property
    def fingerprint(self) -> str:
        """A name for the contents: equal sources give the same."""
        return self.manifest.fingerprint

    @property
    def numeric_ids(self) -> bool:
        """Whether image ids are numbers in the source; else they are text, digits or not."""
        return self.manifest.numeric_ids

    def splits(self, task: Task) -> tuple[str, ...]:
        """Return the splits that hold rows of this task; none when the data does not serve it."""
        return tuple(self.manifest.counts.get(task.name, {}))

    def pictures(self, image_size: int) -> Images:
        """Return all pictures by row, resized and decoded when asked for."""
        texts = {
            self._path(task, split): self._table(task, split)
            for task in TASKS.values()
            for split in self.splits(task)
        }
        return Images(self._images(texts), image_size, num_used=None)

    def examples(
        self,
        task: Task,
        split: str,
        per_caption: bool = False,
        image_size: int | None = None,
        bare: bool = False,
        features: Pictures | None = None,
    ) -> Examples:
        """Return the examples of a split, in stored order.

        per_caption: of an image with five captions make five examples, each with one of them as its
            target and all as references; otherwise one, whose target is the first. Entailment has
            one example per pair either way.
        bare: entailment asks without OFA's words around the sentence.
        image_size: deliver pictures already resized to this side, and keep them decoded if the
        split's all fit in 512 MiB.
        features: deliver these by picture row instead of pictures; no picture is decoded then.
        """
        table = self._table(task, split)
        rows = task.rows(table, per_caption, bare)
        num_used = self.manifest.counts[task.name][split]["images"]
        pictures = features or Images(
            self._images({self._path(task, split): table}), image_size, num_used
        )
        return Examples(rows.read, pictures, range(rows.count))

    def caption_ends(self, split: str) -> list[int]:
        """Return per picture of a split where its captions end, counted through all of them."""
        captions = self._table(CAPTION, split)["captions"]
        return list(np.cumsum(pc.list_value_length(captions).to_numpy()).tolist())

    def _table(self, task: Task, split: str) -> pa.Table:
        have = self.splits(task)
        if not have:
            raise DataError(
                f"{self.root} ({self.manifest.name}) holds no {task.name} data",
                hint=f"it serves: {', '.join(self.manifest.tasks)};"
                " `mue prepare shapes` serves both tasks",
            )
        if split not in have:
            raise DataError(
                f"{self.root} has no split {split!r} for {task.name}",
                hint=f"it has: {', '.join(have)}",
            )
        path = self._path(task, split)
        count = num_texts(self.manifest.counts[task.name][split])
        checksum = self.manifest.checksums.get(path.relative_to(self.root).as_posix())
        table = open_table(path, columns_of(task.name), checksum)
        require_values(table, path, self.manifest.num_images, count)
        return table

    def _path(self, task: Task, split: str) -> Path:
        return self.root / task.name / split / TABLE

    def _images(self, texts: Mapping[Path, pa.Table]) -> pa.ChunkedArray:
        """Return the bytes of all pictures, which must be those that the texts are about."""
        pictures = open_pictures(self.root, self.manifest)
        for path, table in texts.items():
            require_pictures(pictures["image_id"], table, path)
        return pictures["image"]
