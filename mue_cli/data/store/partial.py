"""The folder that a run writes in: beside the one it is for, kept when the run is stopped, moved
there when all is done.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mue_cli.data.store.image_shards import IMAGES, JOURNAL, count_stored
from mue_cli.data.store.manifest import FILE_NAME
from mue_cli.errors import DataError
from mue_cli.files import write_text

try:
    import fcntl
except ImportError:  # Windows: two runs for one folder at a time are not found out there
    fcntl = None  # type: ignore[assignment]

PLAN = "plan.json"


@dataclass(frozen=True)
class Partial:
    """note: what to say about an earlier run's pictures."""

    folder: Path
    note: str = ""


@contextmanager
def prepared_folder(root: Path, plan: Mapping[str, object]) -> Iterator[Partial]:
    """Give a folder beside `root` to write in; it becomes `root` when all went well.

    Otherwise it stays, if whole shards of images are in it, and is given again to a run with the
    same plan. Another plan empties it. Raises DataError when `root` holds something that was not
    prepared by us, or another run is at work.
    """
    if (
        root.exists()
        and not (root / FILE_NAME).is_file()
        and (not root.is_dir() or any(root.iterdir()))
    ):
        raise DataError(
            f"{root} exists and is no prepared data", hint="choose another folder, or move it away"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    folder, old = _partial(root), root.with_name(f".{root.name}.old")
    with _locked(folder, root):
        if old.exists() and not root.exists():  # killed between the two moves at the end
            old.rename(root)
        shutil.rmtree(old, ignore_errors=True)
        partial = Partial(folder, _begin(folder, json.dumps(plan, indent=2)))
        try:
            yield partial
        except BaseException:
            if not count_stored(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if root.exists():
            root.rename(old)
        folder.rename(root)
        for name in (PLAN, JOURNAL):
            (root / name).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


def count_kept(root: Path) -> int:
    """Return how many images a run that was stopped has left for the next one."""
    return count_stored(_partial(root))


def _partial(root: Path) -> Path:
    return root.with_name(f".{root.name}.partial")


def _begin(folder: Path, plan: str) -> str:
    """Leave nothing in the folder but images of the same plan; return what to say about others."""
    path = folder / PLAN
    same = path.is_file() and path.read_text(encoding="utf-8", errors="replace") == plan
    lost = 0 if same else count_stored(folder)
    for leftover in folder.iterdir():
        if same and leftover.name in (PLAN, JOURNAL, IMAGES):
            continue
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    if not same:
        write_text(path, plan)
    return f"started anew, {lost:,} images were of other sources or settings" if lost else ""


@contextmanager
def _locked(folder: Path, root: Path) -> Iterator[None]:
    """Make the folder and hold it: the lock ends with the process, however it ends."""
    folder.mkdir(exist_ok=True)
    if fcntl is None:
        yield
        return
    taken = DataError(
        f"another `mue prepare` is writing {root}", hint="wait for it, or choose another folder"
    )
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken from error
        except OSError:  # a file system without locks
            pass
        if not folder.exists() or not os.path.samestat(os.fstat(handle), folder.stat()):
            raise taken  # it has just moved the folder to its place
        yield
    finally:
        os.close(handle)
