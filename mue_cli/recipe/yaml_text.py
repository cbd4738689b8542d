"""YAML <-> plain values. The only module that reads and writes YAML.

Safe YAML where a key may stand once only, numbers are those that a person means (of YAML 1.1, 1e-3
would be text, 010 would be 8 and 1:30 would be 90: here a number, and text), dates are text, and
nothing is nested deeper, or through its aliases larger, than a person would write.
"""

import copy
import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mue_cli.errors import FileError, RecipeError
from mue_cli.files import read_text
from mue_cli.schema.schema import show

DEEPEST = 50
"""Levels of brackets and indentation that are read."""
LARGEST = 100_000
"""Values that are read, those behind an alias counted each time it stands."""

_OPENED = re.compile(rf"(?:[\[{{]\s*){{{DEEPEST}}}[\[{{]")
_TOO_DEEP = f"nested more than {DEEPEST} deep"
_HINT = "a line looks like `key: value`, indented with spaces"
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)\Z")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))\Z|\.(?:nan|NaN|NAN)\Z"
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises RecipeError when there is no file, no mapping, a
    key twice or a wrong spelling.
    """
    try:
        raw = parse(read_text(path), f"`{path}`")
    except FileError as error:
        raise RecipeError(error.message, error.hint) from None
    if not isinstance(raw, dict):
        raise RecipeError(
            f"`{path}` is {'empty' if raw is None else 'not a mapping'}, expected keys and values",
            "a line looks like `key: value`",
        )
    return raw


def parse(text: str, place: str) -> Any:
    """Return the value in a YAML text. place: where it stands. Raises RecipeError."""
    try:
        return copy.deepcopy(_value(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = "indent with spaces, never with tabs" if "'\\t'" in str(error.problem) else _HINT
        raise RecipeError(f"cannot read {place}: {where}{error.problem}", hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"cannot read {place}: {str(error).splitlines()[0]}", _HINT) from None


@functools.lru_cache(maxsize=64)
def _value(text: str) -> Any:
    """Return what a text says, read once: a study reads its recipe for each of its lines."""
    opened = _OPENED.search(text)
    if opened and not {"'", '"'} & set(text):  # PyYAML's time grows with the square of the depth
        before = text[: opened.end() - 1]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        mark = yaml.Mark("", opened.end() - 1, line, column, None, 0)
        raise yaml.composer.ComposerError(None, None, _TOO_DEEP, mark)
    return yaml.load(text, Loader=_Loader)


def to_yaml(mapping: Mapping[str, object]) -> str:
    """Return a mapping of plain values as YAML, keys in their order."""
    return _dumped(dict(mapping), sort_keys=False, width=120)


def to_word(value: object) -> str:
    """Return one value as YAML in a single line, for a command line."""
    text = _dumped(value, width=math.inf, default_flow_style=True)
    return text.removesuffix("...\n").strip()  # YAML ends a lone value with dots


def _dumped(value: object, **form: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, **form)
    return text


class _Loader(yaml.SafeLoader):
    """The reader of one text; counts how deep and how large it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._size = 0
        self._sizes: dict[yaml.Node | None, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event, before = self._next(), self._size
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias and node not in self._sizes:
            _refuse("an alias stands within what it names", event)
        self._size += self._sizes[node] if is_alias else 1
        self._sizes.setdefault(node, self._size - before)
        if self._size > LARGEST:
            _refuse(f"more than {LARGEST} values", event)
        return node

    def compose_sequence_node(self, anchor: Any) -> yaml.SequenceNode:
        self._check_depth()
        return super().compose_sequence_node(anchor)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        self._check_depth()
        return super().compose_mapping_node(anchor)

    def _check_depth(self) -> None:
        if self._depth > DEEPEST:
            _refuse(_TOO_DEEP, self._next())

    def _next(self) -> yaml.Event:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # yaml's stubs
        return event

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            kind = node.tag.removeprefix(_TAG)
            problem = f"{show(node.value)} cannot be read as !!{kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return super().construct_yaml_int(_matching(node, _INT))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return super().construct_yaml_float(_matching(node, _FLOAT, _INT))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                problem = f"the key `{key.value}` stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse(problem: str, event: Any) -> None:
    raise yaml.composer.ComposerError(None, None, problem, event.start_mark)


def _matching(node: yaml.ScalarNode, *patterns: re.Pattern[str]) -> yaml.ScalarNode:
    """Return a node that says a number. Raises ValueError for another, of `!!int 010` say."""
    if not any(pattern.match(str(node.value)) for pattern in patterns):
        raise ValueError(node.value)
    return node


class _Dumper(yaml.SafeDumper):
    """The writer: text that this reader, or one of YAML 1.1, takes for a number is quoted."""


_NUMBERS = {f"{_TAG}int": _INT, f"{_TAG}float": _FLOAT}
_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] not in (*_NUMBERS, f"{_TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    for _each in (_Loader, _Dumper):
        _each.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_yaml_float)
