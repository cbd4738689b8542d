"""The files below a folder, links followed."""

import os
from collections import Counter
from collections.abc import Callable, Iterator

MAX_VISITS = 8
"""A folder is read so often at most: links that meet again and again would double with each."""

Closed = Callable[[OSError], object]
"""Told of a folder that cannot be read."""


def files_below(
    folder: str, closed: Closed = lambda error: None, hidden: bool = True
) -> Iterator[str]:
    """Yield the path of every file, from the folder on: its own by name, then those of its folders.
    A folder that is met inside itself, by a link, is not entered again.

    hidden: whether those whose names begin with a dot count.
    """
    return _walk(folder, "", (), Counter(), closed, hidden)


def _walk(
    folder: str,
    prefix: str,
    above: tuple[tuple[int, int], ...],
    visits: Counter[tuple[int, int]],
    closed: Closed,
    hidden: bool,
) -> Iterator[str]:
    try:
        status = os.stat(folder)  # noqa: PTH116 - a Path for each of a hundred thousand is slow
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        closed(error)
        return
    here = (status.st_dev, status.st_ino)
    visits[here] += 1
    if here in above or visits[here] > MAX_VISITS:
        return
    folders = []
    for entry in entries:
        if entry.name.startswith(".") and not hidden:
            continue
        if _is_folder(entry):
            folders.append(entry)
        else:
            yield prefix + entry.name
    for entry in folders:
        below = (entry.path, f"{prefix}{entry.name}/", (*above, here))
        yield from _walk(*below, visits, closed, hidden)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
