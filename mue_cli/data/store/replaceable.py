"""What `mue prepare` may replace: nothing, an empty folder, or a prepared one with nothing in it
that mue did not write. Whatever else is there would go with it.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mue_cli.data.rows import SPLITS
from mue_cli.data.store.image_shards import IMAGES, JOURNAL
from mue_cli.data.store.manifest import FILE_NAME, TOKENIZER
from mue_cli.data.store.tables import TABLE
from mue_cli.data.tasks import TASKS
from mue_cli.errors import DataError
from mue_cli.files import PART

PROBLEMS = "problems.jsonl"
PLAN = "plan.json"
NUM_NAMED = 3

_TASK, _SPLIT = ("|".join(map(re.escape, names)) for names in (TASKS, SPLITS))
_FOLDERS = re.compile(rf"{IMAGES}|examples|features|({_TASK})(/({_SPLIT}))?")
_FILES = re.compile(
    "|".join(
        (
            *map(re.escape, (FILE_NAME, TOKENIZER, PROBLEMS, PLAN, JOURNAL)),
            rf"{IMAGES}/data(-\d{{5,}})?\.(arrow|part)",
            rf"({_TASK})/({_SPLIT})/{re.escape(TABLE)}",
            r"examples/test-\d{6,}\.png",  # data/sources/shapes.py
            r"features/[0-9a-f]{20}\.(bf16|json|part|lock)",  # training/features.py
            r"cider-[0-9a-f]{16}\.json\.gz",  # experiment/self_critical.py
            rf"(.*/)?{re.escape(PART)}[^/]+",
            r"(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+)",  # of file managers, NFS
        )
    )
)


def place_of(root: Path) -> Path:
    """Return the folder that `root` means, where a link leads for a link: the link itself stays.
    Raises DataError for a link to nowhere.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - Path.absolute keeps ".."
    if not os.path.islink(root):  # noqa: PTH114 - no error for a long name
        return root
    if not root.exists():
        raise DataError(f"{root} is a link to nowhere", hint="choose another folder")
    return root.resolve()


def require_own_place(root: Path) -> None:
    """Raise DataError for a folder that cannot give way to another: the one that the user is in, or
    a disk's own.
    """
    here = Path.cwd()
    if root in (here, *here.parents):
        raise DataError(
            f"{root} is the folder you are in, or above it: it would be replaced as a whole",
            hint="name a folder in it, such as --out data/mine",
        )
    if os.path.ismount(root):
        raise DataError(
            f"{root} is a disk of its own (a mount point): it cannot be replaced as a whole",
            hint="name a folder in it",
        )


def require_empty_or_own(root: Path, leftovers: Iterable[Path] = ()) -> None:
    """Raise DataError when a prepared folder could not be put at `root`, or something would go that
    mue did not write. leftovers: folders of earlier runs, which would go too.
    """
    require_own_place(root)
    is_other = root.exists() and not _is_prepared(root)
    if is_other and (not root.is_dir() or any(root.iterdir())):
        raise DataError(
            f"{root} exists and is no prepared data", hint="choose another folder, or move it away"
        )
    for folder in (root, *leftovers):
        require_own(folder)


def require_own(folder: Path) -> None:
    """Raise DataError, naming the first few, where a folder holds what mue did not write."""
    if not folder.is_dir() or folder.is_symlink():
        return
    listed = _manifest(folder).get("checksums")
    others = sorted(_others(folder, set(listed) if isinstance(listed, dict) else set()))
    if others:
        more = f" and {len(others) - NUM_NAMED:,} more" if len(others) > NUM_NAMED else ""
        raise DataError(
            f"{folder} would be replaced as a whole, and mue did not write all that is in it:"
            f" {', '.join(others[:NUM_NAMED])}{more}",
            hint="move that away, or choose another folder with --out",
        )


def require_apart(root: Path, inputs: Iterable[object]) -> None:
    """Raise DataError where something to be read lies in the folder that would be replaced.
    inputs: paths, or None for nothing.
    """
    place = Path(os.path.realpath(root))
    for each in inputs:
        if isinstance(each, Path):
            read = Path(os.path.realpath(each))
            if place in (read, *read.parents):
                raise DataError(
                    f"{each} lies in {root}, which would be replaced as a whole",
                    hint="choose another folder with --out",
                )


def _is_prepared(root: Path) -> bool:
    """Return whether mue prepared a folder, be it damaged since: others write manifests too."""
    if not (root / FILE_NAME).is_file():
        return False
    parts = (root / IMAGES, root / TOKENIZER, root / PROBLEMS)
    return any(part.exists() for part in parts) or "format" in _manifest(root)


def _manifest(folder: Path) -> dict[str, object]:
    """Return what is written in a manifest, whatever its format; nothing for one that is none."""
    try:
        content = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _others(folder: Path, listed: set[str], below: str = "") -> Iterator[str]:
    """Yield what mue did not write, by its path in the folder; of a folder of others its name
    alone. listed: by the manifest. A link is never mue's.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                is_own = name in listed or _FILES.fullmatch(name)
                yield from () if is_own and not entry.is_symlink() else (name,)
            elif _FOLDERS.fullmatch(name) or any(each.startswith(f"{name}/") for each in listed):
                yield from _others(folder / entry.name, listed, f"{name}/")
            else:
                yield f"{name}/"
