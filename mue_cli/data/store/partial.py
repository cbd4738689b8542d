"""The folder that a run writes in: beside the one it is for, kept when the run is stopped, moved
there when all is done.
"""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mue_cli.data.disk import writing
from mue_cli.data.problems import Problems
from mue_cli.data.store.image_shards import IMAGES, JOURNAL, count_stored
from mue_cli.data.store.manifest import FILE_NAME
from mue_cli.data.store.replaceable import (
    PLAN,
    place_of,
    require_apart,
    require_empty_or_own,
    require_own,
    require_own_place,
)
from mue_cli.errors import DataError
from mue_cli.files import write_text

try:
    import fcntl
except ImportError:  # Windows: two runs for one folder at a time go unnoticed there
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Partial:
    """Where to write. note: on an earlier run's pictures."""

    folder: Path
    note: str = ""


@contextmanager
def keep_problems(root: Path, problems: Problems) -> Iterator[None]:
    """Write the problems beside `root` when a DataError is raised inside, and name the file."""
    path = problems_path(place_of(root))
    try:
        yield
    except DataError as error:
        with writing(path):
            problems.write(path)
        raise DataError(f"{error.message}; `{path}` lists each", error.hint) from None


def problems_path(root: Path) -> Path:
    """Return where the problems are kept after a refusal."""
    return root.with_name(f"{root.name}.problems.jsonl")


@contextmanager
def prepared_folder(root: Path, plan: Mapping[str, object]) -> Iterator[Partial]:
    """Give a folder beside `root` to write in; it becomes `root` when all went well.

    Otherwise it stays, if whole shards of images are in it, and is given again to a run with the
    same plan. Another plan empties it. Where `root` is a link to a folder, that folder is meant.
    Raises DataError when `root` cannot be written or replaced, at the start or at the end, or
    another run is at work.
    """
    with writing(root):
        root = place_of(root)
        folder, old = _partial(root), _old(root)
        require_empty_or_own(root, (folder, old))
        root.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
    with _locked(folder, root):
        try:
            with writing(root):
                _tidy(root, old)
                partial = Partial(folder, _begin(folder, json.dumps(plan, indent=2)))
            yield partial
        except BaseException:
            if not count_stored(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        with writing(root), _signals_wait():
            require_empty_or_own(root)  # others may have put something there meanwhile
            if root.exists():
                root.rename(old)
            folder.rename(root)
            _tidy(root, old)
            problems_path(root).unlink(missing_ok=True)


def require_replaceable(root: Path, inputs: Iterable[object] = ()) -> None:
    """Raise DataError when a prepared folder could not be put at `root`, or would take away what is
    to be read. inputs: paths to be read, or None.
    """
    with writing(root):
        root = place_of(root)
        require_own_place(root)
        require_apart(root, inputs)
        require_empty_or_own(root, (_partial(root), _old(root)))


def count_kept(root: Path) -> int:
    """Return how many images a run that was stopped has left for the next one."""
    return count_stored(_partial(place_of(root)))


def _partial(root: Path) -> Path:
    return root.with_name(f".{root.name}.partial")


def _old(root: Path) -> Path:
    return root.with_name(f".{root.name}.old")


def _tidy(root: Path, old: Path) -> None:
    """Finish what a run that was killed in its last moves has left."""
    if old.exists() and not root.exists():  # between the two moves
        old.rename(root)
    if old.is_symlink():  # of a former version, which put a link aside: where it leads stays
        old.unlink()
    require_own(old)
    shutil.rmtree(old, ignore_errors=True)
    if (root / FILE_NAME).is_file():
        for name in (PLAN, JOURNAL):
            (root / name).unlink(missing_ok=True)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the moves inside are done. Blocking them would not do: they
    then reach another thread, and interrupt this one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for late in came:
        signal.raise_signal(late)


def _begin(folder: Path, plan: str) -> str:
    """Leave nothing in the folder but images of the same plan; return a note about others."""
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
    """Hold the folder: the lock ends with the process, however it ends."""
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
