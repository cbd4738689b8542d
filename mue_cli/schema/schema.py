"""A mapping, as read from YAML or JSON, turned into a frozen dataclass: every key, type, range and
choice is checked by pydantic, and refused in one line of our words.

What a field may hold is said by its annotation alone: `steps: Count = 1000`, `method:
Literal["full", "mue"]`, `image: float | None`. Any dataclass will do; one made with `stored` also
checks values given in Python, and its fields' docstrings go into hints and the JSON Schema.
"""

import difflib
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import annotated_types
import pydantic
import pydantic_core
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mue_cli.errors import RecipeError, one_line

T = TypeVar("T")
Place = Callable[[str], str]  # dotted key -> where it was written, for messages

LARGEST = 2**31 - 1
"""The largest count: more than anything here can have, and what every library takes."""

_STRICT = pydantic.ConfigDict(
    strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def stored(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that checks its values; a string below a field documents it."""
    return pydantic_dataclass(cls, frozen=True, config=_STRICT)  # type: ignore[return-value]


@dataclass(frozen=True)
class Range(annotated_types.GroupedMetadata):
    """Limits of a number. `above` leaves the lower limit itself out."""

    low: float
    high: float = math.inf
    above: bool = False

    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        yield annotated_types.Gt(self.low) if self.above else annotated_types.Ge(self.low)
        if self.high < math.inf:
            yield annotated_types.Le(self.high)

    def words(self, value: object) -> str:
        """Return the limits; one that nobody meets by chance is named to those above it only."""
        low = f"{'above' if self.above else 'at least'} {self.low:g}"
        if isinstance(value, int | float) and value > self.high >= LARGEST:
            return f"at most {self.high}"
        if self.high >= LARGEST:
            return low
        return (
            f"{low}, at most {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"
        )


@dataclass(frozen=True)
class NotEmpty(annotated_types.GroupedMetadata):
    """Of a text: at least one character."""

    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        yield annotated_types.MinLen(1)

    def words(self, value: object) -> str:
        return "not empty" if value == "" else ""


Text = Annotated[str, NotEmpty()]
Count = Annotated[int, Range(1, LARGEST)]
Natural = Annotated[int, Range(0, LARGEST)]
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
    """Return `cls` made of the mapping `raw`: lists become tuples and whole numbers floats where
    those are asked for; null stands for a section's defaults.

    place: says where a dotted key was written ("`recipes/a.yaml`"). prefix: dotted key of `raw`
    itself, "" at the top. Raises RecipeError for an unknown or missing key and for a value of the
    wrong type or out of range.
    """
    raw = _with_sections(cls, raw) if isinstance(raw, Mapping) else raw
    try:  # by way of JSON, where a list is a tuple and a mapping a dataclass, all else being strict
        text = pydantic_core.to_json(raw, inf_nan_mode="strings", fallback=str)
        adapter = _adapter(cls)  # type: ignore[arg-type]
        return adapter.validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        raise _translated(error, cls, raw, place, prefix) from None
    except (ValueError, RecursionError):
        raise RecipeError(f"{place(prefix)} is nested too deep, or holds no text") from None


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of a dataclass, for editors."""
    return _adapter(cls).json_schema()


def field_docs(cls: Any) -> dict[str, str]:
    """Return the docstring of each field of a `stored` dataclass that has one."""
    known: Mapping[str, Any] = getattr(cls, "__pydantic_fields__", {})
    return {name: item.description for name, item in known.items() if item.description}


def choices(kind: Any) -> tuple[str, ...]:
    """Return the words that `kind` allows, () when it is not a choice of words."""
    return tuple(str(word) for word in get_args(kind)) if get_origin(kind) is Literal else ()


def expected(kind: Any, value: object = None) -> str:
    """Return what `kind` allows, in words. value: what stands there instead."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = [each.words(value) for each in arguments[1:] if isinstance(each, Range | NotEmpty)]
        return ", ".join([expected(arguments[0], value), *filter(None, limits)])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join(expected(argument, value) for argument in arguments)
    if origin is tuple:
        number = "" if arguments[-1] is Ellipsis else f" of {len(arguments)}"
        return f"a list{number}, each {expected(arguments[0], value)}"
    return _NAMES.get(kind, "a mapping of keys to values")


def did_you_mean(word: str, known: Iterable[str], what: str = "choices") -> str:
    """Return a hint: the nearest known word, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(word[:60], names, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known {what}: {', '.join(names)}"


def show(value: object) -> str:
    """Return `value` for a message, as YAML spells it, in one line of at most 60 characters."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:
        text = one_line(value if isinstance(value, str) else str(value), longest=60)
    except (ValueError, RecursionError):  # thousands of digits; too deep
        text = "more than can be shown"
    return f'"{text}"' if isinstance(value, str) else text


def _translated(
    error: pydantic.ValidationError, cls: type, raw: object, place: Place, prefix: str
) -> RecipeError:
    """Return the first problem that pydantic saw in our words; unknown keys before missing ones
    before wrong values.
    """
    order = {"unexpected_keyword_argument": 0, "missing": 1}
    problems = sorted(error.errors(include_url=False), key=lambda one: order.get(one["type"], 2))
    problem, path = problems[0]["type"], problems[0]["loc"]
    if problem in order:
        owner, above, _ = _locate(cls, path[:-1], raw, prefix)
        if is_dataclass(owner):
            return _wrong_key(problem, owner, above, str(path[-1]), place)
    kind, key, value = _locate(cls, path, raw, prefix)
    owner, _, _ = _locate(cls, path[:-1], raw, prefix)
    doc = field_docs(owner).get(str(path[-1])) if path and is_dataclass(owner) else None
    return _mismatch(value, kind, key, place, doc)


def _wrong_key(problem: str, owner: Any, above: str, name: str, place: Place) -> RecipeError:
    key, kinds = _join(above, name), _kinds(owner)
    if problem == "missing":
        return RecipeError(
            f"missing key `{key}` in {place(above)}", f"it holds {expected(kinds[name])}"
        )
    return RecipeError(
        f"unknown key `{one_line(key, 60)}` in {place(key)}", did_you_mean(name, kinds, "keys")
    )


def _mismatch(value: object, kind: Any, key: str, place: Place, doc: str | None) -> RecipeError:
    subject = f"`{key}` in {place(key)}" if key else place(key)
    wanted, words = expected(kind, value), choices(kind)
    hint = did_you_mean(str(value), words) if words and not isinstance(value, Mapping) else doc
    if isinstance(value, str) and not words and "text" not in wanted and _is_number(value):
        hint = _number_hint(value)
    return RecipeError(f"{subject} is {show(value)}, expected {wanted}", hint)


def _number_hint(text: str) -> str:
    """Return how to write a number that is text: in other digits, with zeros in front (which may
    mean eight to a digit), in quotes.
    """
    if not text.isascii():
        return "write it in the digits 0 to 9"
    if re.match(r"[-+]?0[0-9_]", text.strip()):
        return "write it without a zero in front"
    return "write it without quotes"


def _locate(cls: Any, path: Iterable[Any], raw: object, key: str) -> tuple[Any, str, Any]:
    """Return kind, dotted key and value at the place that pydantic names, or at the list or number
    that it lies in.
    """
    kind, value = cls, raw
    for step in path:
        below = _below(kind, step)
        if below is None:
            break
        kind, key = below, _join(key, step)
        value = value.get(step) if isinstance(value, Mapping) else None
    return kind, key, value


def _below(kind: Any, step: Any) -> Any:
    """Return the kind of an item of a mapping or of a field of a dataclass, None of all else."""
    if get_origin(kind) in (Union, types.UnionType):
        return next((item for one in get_args(kind) if (item := _below(one, step))), None)
    if is_dataclass(kind):
        return _kinds(kind).get(step)  # type: ignore[arg-type]
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return get_args(kind)[1]
    return None


def _with_sections(cls: Any, raw: object) -> object:
    """Return `raw` with {} for the sections that are null: they stand for their defaults."""
    if is_dataclass(cls) and raw is None:
        return {}
    if not isinstance(raw, Mapping):
        return raw
    return {key: _with_sections(_below(cls, key), value) for key, value in raw.items()}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _join(prefix: str, key: object) -> str:
    return f"{prefix}.{key}" if prefix else str(key)


@cache
def _adapter(cls: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(cls)


@cache
def _kinds(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {item.name: hints[item.name] for item in fields(cls)}
