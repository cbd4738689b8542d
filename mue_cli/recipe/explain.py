"""A recipe with every field explained, and the JSON Schema that editors complete it by."""

import textwrap
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from mue_cli.recipe.sections import Recipe
from mue_cli.recipe.yaml_text import to_word
from mue_cli.schema.schema import expected, field_docs, json_schema

SCHEMA_LINE = "# yaml-language-server: $schema={path}"
"""First line of a recipe whose editor should complete it."""

_WIDTH = 100


def explained(recipe: Recipe) -> str:
    """Return the whole recipe as YAML, above each field what it does and what it may be."""
    return "\n".join(_section(recipe, indent="")) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file; sections may be null, as they may stand empty."""
    document = json_schema(Recipe)
    for name, value in document["properties"].items():
        if "$ref" in value:
            document["properties"][name] = {
                "anyOf": [{"$ref": value["$ref"]}, {"type": "null"}],
                "description": value.get("description", ""),
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | document


def _section(values: Any, indent: str) -> list[str]:
    kinds, docs = get_type_hints(type(values), include_extras=True), field_docs(type(values))
    lines: list[str] = []
    for item in fields(values):
        value = getattr(values, item.name)
        if is_dataclass(value):
            lines += ["", *_comment(docs[item.name], indent), f"{indent}{item.name}:"]
            lines += _section(value, indent + "  ")
        else:
            may_be = expected(kinds[item.name])
            lines += _comment(f"{docs[item.name]} ({may_be})", indent)
            lines.append(f"{indent}{item.name}: {to_word(value)}")
    return lines


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=start)
