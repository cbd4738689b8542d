"""Fields of an entry that somebody else wrote: as expected, or named with their value."""

from collections.abc import Mapping
from dataclasses import dataclass

from mue_cli.data.problems import shown
from mue_cli.data.rows import is_text
from mue_cli.data.tasks import has_words


class MalformedError(ValueError):
    """A field with another value than expected; its text is "field: value"."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"{field}: {shown(value)}")


@dataclass(frozen=True)
class Repeated:
    """Stands for a JSON object that has a key twice: nobody knows which value was meant."""

    key: str

    def __repr__(self) -> str:
        return f"`{self.key}` twice"


def unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object] | Repeated:
    """Return the object that JSON's pairs make, for json's object_pairs_hook."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    keys = [key for key, _ in pairs]
    return Repeated(next(key for key in keys if keys.count(key) > 1))


_ABSENT = "absent"


def object_of(entry: object) -> Mapping[str, object]:
    """Return an entry that is an object. Raises MalformedError."""
    if not isinstance(entry, dict):
        raise MalformedError("entry", entry)
    return entry


def text_of(entry: Mapping[str, object], field: str) -> str:
    """Return a field that is text with something in it. Raises MalformedError."""
    value = entry.get(field)
    if is_text(value) and value.strip():
        return value
    raise MalformedError(field, value if field in entry else _ABSENT)


def optional_text(entry: Mapping[str, object], field: str) -> str:
    """Return a field that is text, or "" where it is absent or null. Raises MalformedError."""
    return "" if entry.get(field) in (None, "") else text_of(entry, field)


def id_of(entry: Mapping[str, object], field: str) -> str | int:
    """Return an id: text, or a whole number. Raises MalformedError."""
    value = entry.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return text_of(entry, field)


def require_text(**fields: str) -> None:
    """Raise MalformedError for a field that no text can be, such as one with NUL in it."""
    for field, value in fields.items():
        if not is_text(value):
            raise MalformedError(field, value)


def without_words(**sentences: str | None) -> str:
    """Return "field: text" of a sentence that has no word, "" where none of those given is such."""
    without = (
        f"{field}: {text}" if text.strip() else field
        for field, text in sentences.items()
        if text is not None and not has_words(text)
    )
    return next(without, "")
