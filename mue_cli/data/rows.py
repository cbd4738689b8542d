"""Rows of text about images, as a reader hands them to the writer."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeGuard, TypeVar, overload

import pyarrow as pa

SPLITS: tuple[str, ...] = ("train", "val", "test")
ROWS_PER_BATCH = 1000

_POOL = pa.system_memory_pool()  # Arrow's own keeps twice the memory for buffers of this size


@dataclass(frozen=True)
class CaptionRow:
    """An image and what people wrote about it.

    picture: key of the stored picture, where two images have one id; "": the image id.
    """

    image_id: str
    captions: tuple[str, ...]
    picture: str = ""

    @property
    def key(self) -> str:
        return self.picture or self.image_id

    @property
    def num_texts(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class EntailmentRow:
    """A hypothesis about an image, beside a text premise or alone. label: entailment, contradiction
    or neutral. picture: as of a CaptionRow.
    """

    image_id: str
    pair_id: str
    premise: str | None
    hypothesis: str
    label: str
    picture: str = ""

    @property
    def key(self) -> str:
        return self.picture or self.image_id

    @property
    def num_texts(self) -> int:
        return 1


Row = TypeVar("Row", CaptionRow, EntailmentRow)
RowsBySplit = Mapping[str, Sequence[Row]]


class Rows(Sequence[Row], Generic[Row]):
    """Rows of one kind that take little more memory than their letters: they lie as Arrow columns
    and are made when asked for.
    """

    def __init__(self, kind: type[Row], rows: Iterable[Row] = ()) -> None:
        self._kind: type[Row] = kind
        text = pa.string()
        self._schema = pa.schema(
            [
                (field.name, pa.list_(text) if field.name == "captions" else text)
                for field in fields(kind)
            ]
        )
        self._batches: list[pa.RecordBatch] = []  # of ROWS_PER_BATCH rows each
        self._newest: list[Row] = []
        for row in rows:
            self.append(row)

    def append(self, row: Row) -> None:
        self._newest.append(row)
        if len(self._newest) == ROWS_PER_BATCH:
            columns = [
                pa.array(
                    [getattr(row, field.name) for row in self._newest],
                    field.type,
                    memory_pool=_POOL,
                )
                for field in self._schema
            ]
            self._batches.append(pa.record_batch(columns, schema=self._schema))
            self._newest = []

    def __len__(self) -> int:
        return len(self._batches) * ROWS_PER_BATCH + len(self._newest)

    def __iter__(self) -> Iterator[Row]:
        for batch in self._batches:
            yield from map(self._row, batch.to_pylist())
        yield from self._newest

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number, place = divmod(range(len(self))[index], ROWS_PER_BATCH)
        if number == len(self._batches):
            return self._newest[place]
        return self._row(self._batches[number].slice(place, 1).to_pylist()[0])

    def _row(self, record: dict[str, Any]) -> Row:
        if "captions" in record:
            record["captions"] = tuple(record["captions"])
        return self._kind(**record)


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether it is a string that can be written and read: JSON's escapes can name half a
    character, or NUL.
    """
    return (
        isinstance(value, str)
        and value == value.encode("utf-8", "replace").decode()
        and not _has_controls(value)
    )


def _has_controls(text: str) -> bool:
    """Tell whether a control character is in a text, other than white space."""
    return not text.isprintable() and any(
        unicodedata.category(character) == "Cc" and not character.isspace() for character in text
    )
