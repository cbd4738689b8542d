"""What is done to files before a command meets them."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from bad_world import RUN, Damage


def write(path: Path | str, content: str | bytes) -> Damage:
    def damage() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def replaced(path: Path, old: str, new: str) -> Damage:
    """Replace text in a file, which must be there."""

    def damage() -> None:
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text), f"{old} is not in {path}"
        path.write_text(re.sub(old, new, text, count=1), encoding="utf-8")

    return damage


def edited(path: Path, change: Callable[[dict], object]) -> Damage:
    """Change the JSON object of a file's first line, or the whole file's."""

    def damage() -> None:
        text = path.read_text(encoding="utf-8")
        first, rest = (text, "") if path.suffix == ".json" else text.split("\n", 1)
        values = json.loads(first)
        change(values)
        path.write_text(json.dumps(values) + ("\n" + rest if rest else ""), encoding="utf-8")

    return damage


def cut(path: Path) -> Damage:
    return lambda: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def removed(path: Path) -> Damage:
    return lambda: shutil.rmtree(path) if path.is_dir() else path.unlink()


def instead(path: Path, make: Callable[[Path], object]) -> Damage:
    """Put something else where a file was."""

    def damage() -> None:
        path.unlink(missing_ok=True)
        make(path)

    return damage


def pipe(path: Path) -> Damage:
    return instead(path, os.mkfifo)


def directory(path: Path) -> Damage:
    return instead(path, Path.mkdir)


def device(path: Path) -> Damage:
    return instead(path, lambda each: each.symlink_to("/dev/zero"))


def loop(path: Path) -> Damage:
    return instead(path, lambda each: each.symlink_to(each.absolute()))


DEEP = "[" * 100_000
HEAD = "name: mine\ntask: caption\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


def linked(path: Path, to: str) -> Damage:
    return instead(path, lambda each: each.symlink_to(to))


def in_state(change: Callable[[dict], object]) -> Damage:
    """Change what a training keeps for --resume."""

    def damage() -> None:
        state = torch.load(RUN / "last.pt", weights_only=True)
        change(state)
        torch.save(state, RUN / "last.pt")

    return damage


def sources(text: str | bytes, *names: str) -> Damage:
    """Make a folder `source` with files of one content, and a picture."""

    def damage() -> None:
        for name in names:
            write(Path("source", name), text)()
        shutil.copytree("pictures", "source/images")

    return damage


def appended(path: Path, content: bytes) -> Damage:
    return lambda: path.write_bytes(path.read_bytes() + content)
