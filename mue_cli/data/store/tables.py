"""Reading the Arrow tables of a prepared folder: none is used before its structure and values were
checked, since a damaged one can end the process.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mue_cli.data.disk import file_sha256
from mue_cli.data.tasks import CAPTION, ENTAILMENT, LABELS
from mue_cli.errors import DataError, MissingStepError
from mue_cli.files import plain_file

TABLE = "data.arrow"
AGAIN = "run `mue prepare` again"

PICTURES = {"image_id": pa.string(), "image": pa.binary()}
CAPTIONS = {"image": pa.int64(), "image_id": pa.string(), "captions": pa.list_(pa.string())}
PAIRS = {
    "image": pa.int64(),
    **dict.fromkeys(("image_id", "pair_id", "premise", "hypothesis", "label"), pa.string()),
}
_MAY_BE_NULL = ("premise",)


def columns_of(task: str) -> Mapping[str, pa.DataType] | None:
    """Return the columns of a task's tables, None for a task that is not ours."""
    return {CAPTION.name: CAPTIONS, ENTAILMENT.name: PAIRS}.get(task)


def open_table(
    path: Path, columns: Mapping[str, pa.DataType] | None, sha256: str | None
) -> pa.Table:
    """Return a table that lies in the file. columns: None for any. sha256: of the file, where it is
    to be compared.

    Raises MissingStepError when the file is missing, DataError when it is not as it was written or
    its structure is damaged.
    """
    if not path.exists():
        raise MissingStepError(f"{path} is missing", hint=AGAIN)
    plain_file(path)
    if sha256 is not None and file_sha256(path) != sha256:
        raise DataError(f"{path} is not as it was written: its checksum differs", hint=AGAIN)
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"cannot read {path}: {first}", hint=AGAIN) from error
    have = {field.name: field.type for field in table.schema}
    if columns is not None and have != dict(columns):
        raise DataError(f"{path} has other columns than expected: {', '.join(have)}", hint=AGAIN)
    return table


def require_values(table: pa.Table, path: Path, num_images: int, num_texts: int) -> None:
    """Raise DataError for a value that a table of captions or pairs cannot have. num_images: rows
    that its `image` may name. num_texts: captions or pairs that the manifest counts.
    """
    for name in table.column_names:
        if table[name].null_count and name not in _MAY_BE_NULL:
            raise _wrong(path, f"`{name}` is null in {table[name].null_count} rows")
    rows = table["image"]
    if len(rows) and not (pc.min(rows).as_py() >= 0 and pc.max(rows).as_py() < num_images):
        raise _wrong(path, f"`image` is out of range: the folder has {num_images:,} pictures")
    count = len(table)
    if "captions" in table.column_names:
        texts = pc.list_flatten(table["captions"])
        lengths = pc.list_value_length(table["captions"])
        if texts.null_count or (count and pc.min(lengths).as_py() < 1):
            raise _wrong(path, "`captions` is empty or null in some rows")
        count = len(texts)
    elif (
        "label" in table.column_names
        and not pc.all(pc.is_in(table["label"], pa.array(LABELS)), min_count=0).as_py()
    ):
        raise _wrong(path, f"`label` is not always one of {', '.join(LABELS)}")
    if count != num_texts or not count:
        raise _wrong(path, f"it holds {count:,} texts, the manifest counts {num_texts:,}")


def _wrong(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}", hint=AGAIN)
