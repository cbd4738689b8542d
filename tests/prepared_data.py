"""Small source files and a stand-in for the vocabulary, for the tests of data."""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mue_cli.data.problems import Fault


def write_texts(texts: Iterable[str], path: Path) -> None:
    """Stand in for training a vocabulary: keep the texts it would be trained on."""
    path.write_text(json.dumps(list(texts)))


@dataclass
class Given:
    """Pictures as the writer asks for them."""

    images: dict[str, bytes]
    faults: dict[str, Fault] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return len(self.images)

    def read(self, done: Container[str]) -> Iterator[tuple[str, bytes]]:
        return ((key, data) for key, data in self.images.items() if key not in done)


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of a prepared folder but for the date, the one thing that differs when it
    is made again.
    """
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    files["manifest.json"] = re.sub(rb'"prepared": "[^"]+"', b"", files["manifest.json"])
    return files


def picture(colour: str = "red", size: tuple[int, int] = (12, 8), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format=form)
    return buffer.getvalue()


def fill_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_karpathy(path: Path, images: list[dict[str, object]]) -> Path:
    path.write_text(json.dumps({"dataset": "test", "images": images}))
    return path


def problems_in(root: Path) -> list[tuple[str, str]]:
    """Return (item, reason) of each thing left out, as problems.jsonl lists it."""
    return [(line["item"], line["reason"]) for line in problem_lines(root) if not line.get("kept")]


def remarks_in(root: Path) -> list[tuple[str, str]]:
    """Return (item, remark) of each thing kept with a remark."""
    return [(line["item"], line["reason"]) for line in problem_lines(root) if line.get("kept")]


def problem_lines(root: Path) -> list[dict[str, str]]:
    lines = (root / "problems.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
