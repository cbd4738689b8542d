"""Names of files as an annotation and a file system spell them."""

import functools
import unicodedata
from collections.abc import Iterator

ENCODINGS = (
    "utf-8",
    "cp437",
    "cp850",
    "cp1252",
    "cp866",
    "cp1251",
    "cp932",
    "gbk",
    "big5",
    "euc_kr",
)
"""What names in archives were written in, before UTF-8 was agreed on."""

SPLITS_OF_NAMES = {
    "train": ("train", "training", "restval"),  # restval: COCO's val that everybody trains on
    "val": ("val", "valid", "validation", "dev", "devel", "development"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {name: split for split, names in SPLITS_OF_NAMES.items() for name in names}


def split_of(name: str) -> str | None:
    """Return train, val or test for a name that people give to it, None for another."""
    return _SPLIT_OF.get(name.strip().casefold())


@functools.cache
def picture_suffixes() -> tuple[str, ...]:
    """Return the suffixes of the formats that are read, in lower case, as Pillow lists them."""
    from mue_cli.data.images import readable_suffixes

    return readable_suffixes()


def is_picture_name(name: str) -> bool:
    """Tell whether a file is named like a picture, and is not hidden."""
    base = base_of(name)
    return base.lower().endswith(picture_suffixes()) and not base.startswith(".")


def base_of(path: str) -> str:
    """Return the last part of a path, whichever slashes it has."""
    return path.replace("\\", "/").rpartition("/")[2]


def stem_of(path: str) -> str:
    """Return a path without its picture suffix: only such a suffix is cut off."""
    stem, dot, suffix = path.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in picture_suffixes() else path


def tidy(path: str) -> str:
    """Return a path without parts that say nothing: "./", "//" and a leading "/"."""
    if not path.startswith((".", "/")) and "//" not in path and "/." not in path:
        return path
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def normal(path: str) -> str:
    """Return a path with composed characters and forward slashes."""
    if path.isascii():
        return tidy(path.replace("\\", "/"))
    return tidy(unicodedata.normalize("NFC", path).replace("\\", "/"))


def folded(path: str) -> str:
    """Return a path as `normal` does, in one case."""
    if path.isascii():
        return normal(path).lower()
    return unicodedata.normalize("NFC", normal(path).casefold())


def spellings(raw: bytes) -> Iterator[str]:
    """Yield what these bytes of a name read as in the encodings of archives."""
    for encoding in ENCODINGS:
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue


def other_spellings(name: str) -> Iterator[str]:
    """Yield the other readings of a name that is no UTF-8, or that reads as characters that do not
    exist. Python puts surrogates in place of the bytes that it cannot read.
    """
    if name.isascii() or all(unicodedata.category(c) not in ("Cs", "Cn", "Co") for c in name):
        return
    yield from (
        other for other in spellings(name.encode("utf-8", "surrogateescape")) if other != name
    )
