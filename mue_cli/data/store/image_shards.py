"""The pictures of a prepared folder: encoded bytes in shards, and a journal from which a run that
was stopped goes on.

    images/data-00000.arrow    image_id (key of the picture), image (encoded bytes); SHARD_ROWS
                               pictures, fewer when they reach SHARD_BYTES
    journal.jsonl              a line for each shard that is whole: its content, and which pictures
                               on the way were broken or odd

A shard is written under another name, moved to its place, then noted. A shard that the journal does
not note is written again. Where shards end depends on the pictures alone, so that a run in pieces
gives the bytes of a run in one.
"""

import json
import os
import warnings
from collections import ChainMap, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mue_cli.data.disk import file_sha256, writing
from mue_cli.data.images import Look, look_at
from mue_cli.data.problems import Fault, Problems, shown
from mue_cli.data.store.journal import Shard, read_journal
from mue_cli.data.store.shared_pictures import digest_of
from mue_cli.files import write_text

IMAGES = "images"
JOURNAL = "journal.jsonl"
SHARD_ROWS = 4096
SHARD_BYTES = 256 * 2**20
BATCH_ROWS = 100
BATCH_BYTES = 8 * 2**20
WAITING_BYTES = 64 * 2**20


class PictureSource(Protocol):
    """Pictures to be stored. faults: key of a picture -> why it cannot be; grows while reading."""

    @property
    def faults(self) -> dict[str, Fault]: ...

    @property
    def num_images(self) -> int: ...

    def read(self, done: Container[str]) -> Iterable[tuple[str, bytes]]:
        """Yield (key, encoded bytes) of what is not in `done`, always in the same order."""


Progress = Callable[..., None]
"""progress(images done, images in all, remark beside it)"""

_SCHEMA = pa.schema([("image_id", pa.string()), ("image", pa.binary())])


@dataclass(frozen=True)
class StoredImages:
    """index: key -> row, counted through the shards. digests: of each row's bytes."""

    index: dict[str, int]
    shards: list[Shard]
    digests: list[bytes] = field(default_factory=list)


def write_images(
    folder: Path,
    pictures: PictureSource,
    problems: Problems,
    progress: Progress | None = None,
    num_workers: int = 0,
    note: str = "",
) -> StoredImages:
    """Store each readable picture once, beginning after the shards that are there.

    num_workers: threads that look whether pictures can be read; 0: none but this one. Those that
    cannot join the pictures' faults, remarks on the others the problems. note: shown beside the
    progress. Raises DataError when the disk is full or cannot be written.
    """
    stored = _read_stored(folder)
    faults = pictures.faults
    for shard in stored.shards:
        faults.update({key: Fault(reason, value) for key, reason, value in shard.broken})
    broken = {key for shard in stored.shards for key, _, _ in shard.broken}
    report = progress or (lambda done, total, note: None)
    done = ChainMap[str, object](stored.index, dict.fromkeys(broken))  # type: ignore[arg-type]
    if done:
        note = f"going on after {len(done):,}"
        report(len(done), pictures.num_images, note)
    writer = _ShardWriter(folder, stored)
    with warnings.catch_warnings():  # once, not around each picture: threads share the filters
        # of odd EXIF data and the like, thousands in a large set
        warnings.filterwarnings("ignore", module="PIL")
        for key, data, look in _looked_at(pictures.read(done), num_workers):
            if key not in done and key not in broken:
                writer.add(key, data, look)
                if look.fault is not None:
                    broken.add(key)
                    faults[key] = look.fault
            report(len(stored.index) + len(broken), pictures.num_images, note)
    writer.finish_shard()
    for shard in stored.shards:
        for key, remark in shard.odd:
            problems.remark("images", key, remark)
    return stored


def count_stored(folder: Path) -> int:
    """Return how many images are in whole shards."""
    return sum(shard.rows for shard in read_journal(folder / JOURNAL))


def _looked_at(
    images: Iterable[tuple[str, bytes]], num_workers: int
) -> Iterator[tuple[str, bytes, Look]]:
    """Yield (key, bytes, a look at them), in order. Threads do, since Pillow decodes without
    Python's lock.
    """
    if num_workers == 0:
        yield from ((key, data, look_at(data)) for key, data in images)
        return
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="look")
    waiting: deque[tuple[str, bytes, Future[Look]]] = deque()
    held = 0
    try:
        for key, data in images:
            waiting.append((key, data, pool.submit(look_at, data)))
            held += len(data)
            while len(waiting) > 8 * num_workers or held > WAITING_BYTES:
                first = waiting.popleft()
                held -= len(first[1])
                yield first[0], first[1], first[2].result()
        while waiting:
            first = waiting.popleft()
            yield first[0], first[1], first[2].result()
    finally:
        pool.shutdown(cancel_futures=True)


class _ShardWriter:
    """Fills one shard after the other."""

    def __init__(self, folder: Path, stored: StoredImages) -> None:
        self._folder = folder
        self._stored = stored
        self._open: _OpenShard | None = None
        self._broken: list[tuple[str, str, str]] = []
        self._odd: list[tuple[str, str]] = []

    def add(self, key: str, data: bytes, look: Look) -> None:
        if look.fault is not None:
            self._broken.append((key, look.fault.reason, shown(look.fault.value)))
            return
        self._odd += [(key, remark) for remark in look.remarks]
        with writing(self._folder):
            if self._open is None:
                self._open = _OpenShard(
                    self._folder / IMAGES / f"data-{len(self._stored.shards):05d}.arrow"
                )
            self._open.add(key, data)
        self._stored.index[key] = len(self._stored.index)
        self._stored.digests.append(digest_of(data))
        if self._open.rows >= SHARD_ROWS or self._open.bytes >= SHARD_BYTES:
            self.finish_shard()

    def finish_shard(self) -> None:
        """Move the shard to its place and note it in the journal. Broken images after the last are
        met again by a next run.
        """
        if self._open is None:
            return
        with writing(self._folder):
            shard = self._open.finish(self._broken, self._odd)
            with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(asdict(shard)) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        self._stored.shards.append(shard)
        self._open, self._broken, self._odd = None, [], []


class _OpenShard:
    """A shard under its temporary name."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self._path = path
        self._temporary = path.with_suffix(".part")
        self._file = self._temporary.open("wb")
        self._stream = pa.ipc.new_stream(self._file, _SCHEMA)
        self._batch: list[tuple[str, bytes]] = []
        self._batch_bytes = 0
        self.rows = self.bytes = 0

    def add(self, key: str, data: bytes) -> None:
        self._batch.append((key, data))
        self._batch_bytes += len(data)
        self.rows, self.bytes = self.rows + 1, self.bytes + len(data)
        if len(self._batch) == BATCH_ROWS or self._batch_bytes >= BATCH_BYTES:
            self._write_batch()

    def finish(
        self, broken: Sequence[tuple[str, str, str]], odd: Sequence[tuple[str, str]]
    ) -> Shard:
        if self._batch:
            self._write_batch()
        self._stream.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = file_sha256(self._temporary)
        self._temporary.replace(self._path)
        size = self._path.stat().st_size
        return Shard(self._path.name, self.rows, size, digest, broken, odd)

    def _write_batch(self) -> None:
        keys, data = zip(*self._batch, strict=True)
        columns = [pa.array(keys, pa.string()), pa.array(data, pa.binary())]
        self._stream.write_batch(pa.record_batch(columns, schema=_SCHEMA))
        self._batch, self._batch_bytes = [], 0


def _read_stored(folder: Path) -> StoredImages:
    """Return what an earlier run left whole; remove the rest."""
    stored = StoredImages({}, [])
    for shard in read_journal(folder / JOURNAL):
        pictures = _read_pictures(folder / IMAGES / shard.name, shard)
        if pictures is None:
            break
        first = len(stored.index)
        stored.index.update(zip(pictures, range(first, first + shard.rows), strict=True))
        stored.digests.extend(pictures.values())
        stored.shards.append(shard)
    names = {shard.name for shard in stored.shards}
    for path in (folder / IMAGES).glob("*"):
        if path.name not in names:
            path.unlink()
    with writing(folder):
        write_text(
            folder / JOURNAL, "".join(json.dumps(asdict(shard)) + "\n" for shard in stored.shards)
        )
    return stored


def _read_pictures(path: Path, shard: Shard) -> dict[str, bytes] | None:
    """Return the digests of a shard's pictures by their keys, None when it is not as the journal
    says.
    """
    try:
        if path.stat().st_size != shard.bytes or file_sha256(path) != shard.sha256:
            return None
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all()
        table.validate(full=True)
        digests = map(digest_of, (memoryview(image.as_buffer()) for image in table["image"]))
        pictures = dict(zip(table["image_id"].to_pylist(), digests, strict=True))
    except (pa.ArrowException, OSError, KeyError):
        return None
    return pictures if len(pictures) == shard.rows else None
