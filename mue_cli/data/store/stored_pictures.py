"""The shards of pictures in a prepared folder, opened: those that were written, and in each row the
picture that the texts mean.

Their checksums are not compared, since that would read gigabytes before the first picture; a hash
of a few blocks of each is.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mue_cli.data.disk import fingerprint
from mue_cli.data.store.image_shards import IMAGES
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.tables import AGAIN, PICTURES, open_table
from mue_cli.errors import DataError, MissingStepError

BLOCKS = 16
"""Of a shard's fingerprint: another preparation differs in all of them, and a disk is quick."""


def shard_fingerprints(root: Path) -> dict[str, str]:
    """Return the fingerprint of each shard by its path in the folder."""
    return {f"{IMAGES}/{path.name}": fingerprint(path, BLOCKS) for path in _shards(root)}


def open_pictures(root: Path, manifest: Manifest) -> pa.Table:
    """Return `image_id` and `image` of all pictures, shard after shard.

    Raises MissingStepError when there are fewer or more than the manifest counts, DataError when a
    shard is damaged or not the one that was written.
    """
    tables = [open_table(path, PICTURES, None) for path in _shards(root)]
    count = sum(map(len, tables))
    if count != manifest.num_images or not tables:
        raise MissingStepError(
            f"{root / IMAGES} holds {count:,} images, expected {manifest.num_images:,}",
            hint=AGAIN,
        )
    _require_written(root, manifest.shard_fingerprints)
    return pa.concat_tables(tables)


def require_pictures(keys: pa.ChunkedArray, table: pa.Table, path: Path) -> None:
    """Raise DataError where a row of a table of texts means another picture than lies at its row.

    keys: of the pictures, by row: their image id, after "file:" where another has the same.
    """
    if "image_id" not in table.column_names:  # a newcomer's task may go without
        return
    there, named = keys.take(table["image"]), table["image_id"]
    # by these functions alone: for values of Python or NumPy, pyarrow imports pandas
    other = pc.indices_nonzero(pc.or_kleene(pc.not_equal(there, named), pc.is_null(there)))
    pairs = zip(there.take(other).to_pylist(), named.take(other).to_pylist(), strict=True)
    for row, (key, image_id) in zip(other.to_pylist(), pairs, strict=True):
        if not str(key).endswith(f":{image_id}"):
            raise DataError(
                f"the pictures in {path.parents[2] / IMAGES} are not those of {path}: its row {row}"
                f" is about `{image_id}`, and `{key}` lies there",
                hint=AGAIN,
            )


def _shards(root: Path) -> list[Path]:
    return sorted((root / IMAGES).glob("data-*.arrow"))


def _require_written(root: Path, fingerprints: Mapping[str, str]) -> None:
    if not fingerprints:  # of an older version
        return
    for name, there in shard_fingerprints(root).items():
        if fingerprints.get(name) != there:
            raise DataError(
                f"{root / name} is not as it was written: its pictures are others or damaged",
                hint=AGAIN,
            )
