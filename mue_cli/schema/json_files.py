"""Stored JSON: a document, or a log of a value per line, read and checked in one place."""

import json
from pathlib import Path
from typing import Any, TypeVar

from mue_cli.errors import DataError, FileError, RecipeError
from mue_cli.files import read_text
from mue_cli.schema.schema import build

T = TypeVar("T")


def read_json(cls: type[T], path: Path, hint: str) -> T:
    """Return the document of a file as `cls`. hint: how to make the file anew. Raises DataError."""
    return built(cls, parse_json(_text(path, hint), f"`{path}`", hint), f"`{path}`", hint)


def read_json_lines(cls: type[T], path: Path, hint: str) -> list[T]:
    """Return the values of a file, one per line; blank lines are passed over. hint: how to make the
    file anew. Raises DataError, naming the line.
    """
    return [
        built(cls, parse_json(line, place, hint), place, hint)
        for place, line in json_lines(path, hint)
    ]


def json_lines(path: Path, hint: str) -> list[tuple[str, str]]:
    """Return the lines of a file that are not blank, each with the words for its place. Raises
    DataError when it is no text.
    """
    lines = enumerate(_text(path, hint).split("\n"), start=1)
    return [(f"line {number} of `{path}`", line) for number, line in lines if line.strip()]


def parse_json(text: str, place: str, hint: str) -> Any:
    """Return the value in a JSON text. Raises DataError for a text that is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise DataError(f"{place} is not JSON, or cut short", hint) from None
    except (RecursionError, ValueError):  # ValueError: a number of thousands of digits
        raise DataError(f"{place} is nested too deep, or has a number too long", hint) from None


def built(cls: type[T], raw: object, place: str, hint: str) -> T:
    """Return the value of a stored file as `cls`. Raises DataError."""
    try:
        return build(cls, raw, lambda key: place)
    except RecipeError as error:
        raise DataError(error.message, hint) from None


def _text(path: Path, hint: str) -> str:
    try:
        return read_text(path)
    except FileError as error:
        raise DataError(error.message, hint) from None
