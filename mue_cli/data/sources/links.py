"""Links inside archives, followed by name: nothing is unpacked, so nothing can escape."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import dirname, join, normpath

from mue_cli.data.sources.resolver import Listed

MAX_STEPS = 40
MAX_ALIASES = 1_000_000


def aliases(files: Sequence[Listed], links: Mapping[str, str]) -> Iterator[Listed]:
    """Yield the files of an archive under the names that its links give them.

    links: path -> where it leads, relative to the archive's root. A link to a folder stands for
    all that is in it. What leads outside, to nothing or in a circle gives nothing.
    """
    if not links:
        return
    links = {normpath(path): normpath(target) for path, target in links.items()}
    by_path = {normpath(file.path): file for file in files}
    folders: dict[str, list[str]] = {}
    for path in by_path:
        folder = dirname(path)
        while folder not in folders and folder not in ("", "/"):
            folders[folder] = []
            folder = dirname(folder)
    made = 0
    for path in links:
        target = _follow(path, links)
        if target is None:
            continue
        if target in by_path:
            made += 1
            yield replace(by_path[target], path=path)
        elif target in folders or target == ".":
            for other, file in by_path.items():
                if target == "." or other.startswith(f"{target}/"):
                    made += 1
                    inside = other if target == "." else other[len(target) + 1 :]
                    yield replace(file, path=f"{path}/{inside}")
        if made > MAX_ALIASES:
            return


def target_of(path: str, link: str) -> str:
    """Return where a symbolic link at `path` leads, from the archive's root on."""
    return "/" if link.startswith("/") else join(dirname(path), link)


def _follow(path: str, links: Mapping[str, str]) -> str | None:
    """Return where a path ends, links on its way followed; None outside or in a circle."""
    for _ in range(MAX_STEPS):
        if path.startswith(("/", "..")):
            return None
        parts = path.split("/")
        heads = ("/".join(parts[: end + 1]) for end in range(len(parts)))
        head = next((head for head in heads if head in links), None)
        if head is None:
            return path
        path = normpath(links[head] + path[len(head) :])
    return None
