"""The pictures of a prepared folder: encoded bytes in shards, and a journal from which a run that
was stopped goes on.

    images/data-00000.arrow    image_id, image (encoded bytes); SHARD_ROWS images, fewer when they
reach SHARD_BYTES journal.jsonl              a line for each shard that is whole: what it holds, and
which images on the way were broken

A shard is written under another name, moved to its place, then noted. What the journal does not
note is written again. Where shards end depends on the pictures alone, so that a run in pieces gives
the bytes of a run in one.
"""

import hashlib
import json
import os
import warnings
from collections import ChainMap, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from mue_cli.data.disk import writing
from mue_cli.data.images import decode_image
from mue_cli.data.rows import Problems
from mue_cli.errors import DataError
from mue_cli.files import write_text

IMAGES = "images"
JOURNAL = "journal.jsonl"
SHARD_ROWS = 4096
SHARD_BYTES = 256 * 2**20
BATCH_ROWS = 100
BATCH_BYTES = 8 * 2**20
WAITING_BYTES = 64 * 2**20

ImageSource = Callable[[Container[str]], Iterable[tuple[str, bytes]]]
"""images(done): yield (image_id, encoded bytes) of what is not in `done`, always in the same order.
"""
Progress = Callable[..., None]
"""progress(images done, images in all, what to say beside it)"""

_SCHEMA = pa.schema([("image_id", pa.string()), ("image", pa.binary())])


@dataclass(frozen=True)
class Shard:
    """A line of the journal. broken: (image_id, reason) of the images that were met while it was
    written.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    broken: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class StoredImages:
    """index: image_id -> row, counted through the shards."""

    index: dict[str, int]
    shards: list[Shard]


def write_images(
    folder: Path,
    images: ImageSource,
    num_images: int,
    problems: Problems,
    progress: Progress | None = None,
    num_workers: int = 0,
    note: str = "",
) -> StoredImages:
    """Store each readable image once, beginning after the shards that are there.

    num_workers: threads that look whether images can be read; 0: none but this one. Broken images
    are listed as problems, after whatever reading the images lists. note: what to say beside the
    progress. Raises DataError when the disk is full or cannot be written.
    """
    stored = _read_stored(folder)
    broken = {image_id: fault for shard in stored.shards for image_id, fault in shard.broken}
    report = progress or (lambda done, total, note: None)
    done = ChainMap[str, object](stored.index, broken)  # type: ignore[arg-type]
    if done:
        note = f"going on after {len(done):,}"
        report(len(done), num_images, note)
    writer = _ShardWriter(folder, stored)
    with warnings.catch_warnings():  # once, not around each picture: threads share the filters
        warnings.filterwarnings(
            "ignore", module="PIL"
        )  # of odd EXIF data and the like, thousands in a large set
        for image_id, data, fault in _looked_at(images(done), num_workers):
            if image_id not in done:
                writer.add(image_id, data, fault)
                if fault:
                    broken[image_id] = fault
            report(len(stored.index) + len(broken), num_images, note)
    writer.finish_shard()
    for image_id, fault in broken.items():
        problems.add("images", image_id, fault)
    return stored


def count_stored(folder: Path) -> int:
    """Return how many images are in whole shards."""
    return sum(shard.rows for shard in _read_journal(folder))


def _looked_at(
    images: Iterable[tuple[str, bytes]], num_workers: int
) -> Iterator[tuple[str, bytes, str]]:
    """Yield (image_id, bytes, why it cannot be used or ""), in order. Threads do, since Pillow
    decodes without Python's lock.
    """
    if num_workers == 0:
        yield from ((image_id, data, _fault(data)) for image_id, data in images)
        return
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="look")
    waiting: deque[tuple[str, bytes, Future[str]]] = deque()
    held = 0
    try:
        for image_id, data in images:
            waiting.append((image_id, data, pool.submit(_fault, data)))
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


def _fault(data: bytes) -> str:
    try:
        decode_image(data, shrink_to=8)
    except DataError as error:
        return "image too large" if "too large" in error.message else "image broken"
    return ""


class _ShardWriter:
    """Fills one shard after the other."""

    def __init__(self, folder: Path, stored: StoredImages) -> None:
        self._folder = folder
        self._stored = stored
        self._open: _OpenShard | None = None
        self._broken: list[tuple[str, str]] = []

    def add(self, image_id: str, data: bytes, fault: str) -> None:
        if fault:
            self._broken.append((image_id, fault))
            return
        with writing(self._folder):
            if self._open is None:
                self._open = _OpenShard(
                    self._folder / IMAGES / f"data-{len(self._stored.shards):05d}.arrow"
                )
            self._open.add(image_id, data)
        self._stored.index[image_id] = len(self._stored.index)
        if self._open.rows >= SHARD_ROWS or self._open.bytes >= SHARD_BYTES:
            self.finish_shard()

    def finish_shard(self) -> None:
        """Move the shard to its place and note it in the journal. Broken images after the last are
        met again by a next run.
        """
        if self._open is None:
            return
        with writing(self._folder):
            shard = self._open.finish(self._broken)
            with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(asdict(shard)) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        self._stored.shards.append(shard)
        self._open, self._broken = None, []


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

    def add(self, image_id: str, data: bytes) -> None:
        self._batch.append((image_id, data))
        self._batch_bytes += len(data)
        self.rows, self.bytes = self.rows + 1, self.bytes + len(data)
        if len(self._batch) == BATCH_ROWS or self._batch_bytes >= BATCH_BYTES:
            self._write_batch()

    def finish(self, broken: Sequence[tuple[str, str]]) -> Shard:
        if self._batch:
            self._write_batch()
        self._stream.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._temporary.replace(self._path)
        return Shard(self._path.name, self.rows, self._path.stat().st_size, digest, broken)

    def _write_batch(self) -> None:
        image_ids, data = zip(*self._batch, strict=True)
        self._stream.write_batch(
            pa.record_batch(
                [pa.array(image_ids, pa.string()), pa.array(data, pa.binary())], schema=_SCHEMA
            )
        )
        self._batch, self._batch_bytes = [], 0


def _read_stored(folder: Path) -> StoredImages:
    """Return what an earlier run left whole; remove the rest."""
    stored = StoredImages({}, [])
    for shard in _read_journal(folder):
        image_ids = _read_ids(folder / IMAGES / shard.name, shard)
        if image_ids is None:
            break
        stored.index.update(
            zip(image_ids, range(len(stored.index), len(stored.index) + shard.rows), strict=True)
        )
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


def _read_journal(folder: Path) -> Iterator[Shard]:
    """Yield its lines up to one that was cut short."""
    path = folder / JOURNAL
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    for line in lines:
        try:
            yield Shard(**json.loads(line))
        except (ValueError, TypeError):
            return


def _read_ids(path: Path, shard: Shard) -> list[str] | None:
    """Return the image ids of a shard, None when it is not as the journal says."""
    try:
        if path.stat().st_size != shard.bytes:
            return None
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            image_ids: list[str] = stream.read_all()["image_id"].to_pylist()
    except (pa.ArrowException, OSError):
        return None
    return image_ids if len(image_ids) == shard.rows else None
