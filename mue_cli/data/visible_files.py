"""The files below a folder that are not hidden, links followed."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_VISITS = 8
"""A folder is read so often at most: links that meet again and again would double with each."""

Identity = tuple[int, int]


def visible_files(folder: str, closed: Callable[[OSError], object]) -> Iterator[str]:
    """Yield the path of every file below a folder but hidden ones: its own by name, then those of
    its folders. One that is met inside itself, by a link, is not entered again.

    closed: told of a folder that cannot be read.
    """
    return _walk(Path(folder), closed, (), Counter())


def _walk(
    folder: Path,
    closed: Callable[[OSError], object],
    above: tuple[Identity, ...],
    visits: Counter[Identity],
) -> Iterator[str]:
    try:
        status, entries = folder.stat(), sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        closed(error)
        return
    here = (status.st_dev, status.st_ino)
    visits[here] += 1
    if here in above or visits[here] > MAX_VISITS:
        return
    folders = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            folders.append(entry)
        else:
            yield str(folder / entry.name)
    for entry in folders:
        yield from _walk(folder / entry.name, closed, (*above, here), visits)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
