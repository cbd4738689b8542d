"""A mapping, as read from YAML or JSON, turned into a frozen dataclass: every key, type, range and
choice is checked.

What a field may hold is said by its annotation alone: `steps: Count = 1000`, `method:
Literal["full", "mue"]`, `image: float | None`.
"""

import difflib
import math
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mue_cli.errors import RecipeError

T = TypeVar("T")
Place = Callable[[str], str]  # dotted key -> where it was written, for messages


@dataclass(frozen=True)
class Range:
    """Limits of a number. `above` leaves the lower limit itself out."""

    low: float
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"{'above' if self.above else 'at least'} {self.low:g}"
        return (
            f"above {self.low:g}, at most {self.high:g}"
            if self.above
            else f"from {self.low:g} to {self.high:g}"
        )


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, above=True)]
Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]

_NAMES: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
}


def build(cls: type[T], raw: object, place: Place, prefix: str = "") -> T:
    """Return `cls` made of the mapping `raw`.

    place: says where a dotted key was written ("`recipes/a.yaml`"). prefix: dotted key of `raw`
    itself, "" at the top. Raises RecipeError for an unknown or missing key and for a value of the
    wrong type or out of range.
    """
    if not isinstance(raw, Mapping):
        raise _mismatch(raw, "a mapping of keys to values", prefix, place)
    kinds = _kinds(cls)  # type: ignore[arg-type]
    for key in raw:
        if key not in kinds:
            raise RecipeError(
                f"unknown key `{_join(prefix, key)}` in {place(_join(prefix, key))}",
                did_you_mean(str(key), kinds, "keys"),
            )
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name not in raw and item.default is MISSING and item.default_factory is MISSING:
            raise RecipeError(
                f"missing key `{_join(prefix, item.name)}` in {place(prefix)}",
                f"it holds {expected(kinds[item.name])}",
            )
    return cls(
        **{key: convert(value, kinds[key], _join(prefix, key), place) for key, value in raw.items()}
    )


def convert(value: object, kind: Any, key: str, place: Place) -> Any:
    """Return `value` as `kind`: lists become tuples and whole numbers become floats where those are
    asked for. Raises RecipeError.
    """
    if is_dataclass(kind):
        return build(kind, {} if value is None else value, place, key)  # type: ignore[arg-type]
    if isinstance(value, Mapping) and (named := _named(kind)):
        return {
            str(name): convert(item, named, _join(key, name), place) for name, item in value.items()
        }
    try:
        return _convert(value, kind)
    except TypeError:
        raise _mismatch(value, expected(kind), key, place, choices(kind)) from None


def _named(kind: Any) -> Any:
    """Return the dataclass of a mapping from names to dataclasses, None for any other kind."""
    origin, arguments = get_origin(kind), get_args(kind)
    return (
        arguments[1]
        if isinstance(origin, type) and issubclass(origin, Mapping) and is_dataclass(arguments[1])
        else None
    )


def choices(kind: Any) -> tuple[str, ...]:
    """Return the words that `kind` allows, () when it is not a choice of words."""
    return tuple(str(word) for word in get_args(kind)) if get_origin(kind) is Literal else ()


def expected(kind: Any) -> str:
    """Return what `kind` allows, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return ", ".join([expected(arguments[0]), *(str(limit) for limit in arguments[1:])])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join(expected(argument) for argument in arguments)
    if origin is tuple:
        return f"a list, each {expected(arguments[0])}"
    return _NAMES.get(kind, "a mapping of keys to values")


def did_you_mean(word: str, known: Iterable[str], what: str = "choices") -> str:
    """Return a hint: the nearest known word, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known {what}: {', '.join(names)}"


def show(value: object) -> str:
    """Return `value` for a message, as YAML would spell it, at most 60 characters."""
    text = (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def _convert(value: object, kind: Any) -> Any:
    """Raises TypeError when `value` is not a `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        number = _convert(value, arguments[0])
        return number if all(number in limit for limit in arguments[1:]) else _refuse()
    if origin is Literal:
        return (
            value
            if any(value == word and type(value) is type(word) for word in arguments)
            else _refuse()
        )
    if origin in (Union, types.UnionType):
        return _first(value, arguments)
    if origin is tuple:
        return (
            tuple(_convert(item, arguments[0]) for item in value)
            if isinstance(value, list | tuple)
            else _refuse()
        )
    if origin is not None and issubclass(origin, Mapping):
        items = (
            value
            if isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
            else _refuse()
        )
        return {key: _convert(item, arguments[1]) for key, item in items.items()}
    return _scalar(value, kind)


def _scalar(value: object, kind: Any) -> Any:
    if kind is object:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else _refuse()
    return (
        value
        if isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        else _refuse()
    )


def _first(value: object, kinds: tuple[Any, ...]) -> Any:
    for kind in kinds:
        try:
            return _convert(value, kind)
        except TypeError:
            continue
    return _refuse()


def _refuse() -> Any:
    raise TypeError


def _mismatch(
    value: object, wanted: str, key: str, place: Place, words: tuple[str, ...] = ()
) -> RecipeError:
    subject = f"`{key}` in {place(key)}" if key else place(key)
    hint = did_you_mean(str(value), words, "choices") if words else None
    if isinstance(value, str) and not words and "text" not in wanted:
        hint = "write it without quotes" if _is_number(value) else None
    return RecipeError(f"{subject} is {show(value)}, expected {wanted}", hint)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _join(prefix: str, key: object) -> str:
    return f"{prefix}.{key}" if prefix else str(key)


@cache
def _kinds(cls: Hashable) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {item.name: hints[item.name] for item in fields(cls)}  # type: ignore[arg-type]
