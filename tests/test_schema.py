"""Stored values: mappings and JSON files turned into dataclasses, refused in our words."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.errors import DataError, RecipeError
from mue_cli.schema.json_files import read_json, read_json_lines
from mue_cli.schema.schema import Count, Fraction, Share, build, field_docs, show, stored


@dataclass(frozen=True)
class Part:
    """A plain dataclass."""

    size: Count
    shares: Mapping[str, float] = field(default_factory=dict)
    pair: tuple[float, float] | None = None
    rest: object = None


@stored
class Whole:
    """A dataclass that checks what Python gives it, too."""

    name: str
    """Name of the whole."""
    parts: dict[str, Part] = field(default_factory=dict)
    kind: Literal["round", "flat"] = "round"
    share: Share = 1.0
    """Share of something."""


def refusal(raw: object, cls: type = Whole) -> str:
    with pytest.raises(RecipeError) as caught:
        build(cls, raw, lambda key: "THERE")
    return caught.value.message


def test_lists_become_tuples_and_whole_numbers_floats() -> None:
    part = build(Part, {"size": 2, "pair": [1, 2], "shares": {"a": 1}}, lambda key: "x")
    assert part == Part(2, {"a": 1.0}, (1.0, 2.0))
    assert isinstance(part.shares["a"], float)


def test_null_stands_for_the_defaults_of_a_part() -> None:
    @dataclass(frozen=True)
    class Inner:
        size: Count = 3

    @dataclass(frozen=True)
    class Outer:
        inner: Inner
        named: dict[str, Inner]

    assert build(Outer, {"inner": None, "named": {"a": None}}, lambda key: "x") == Outer(
        Inner(), {"a": Inner()}
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (3, "THERE is 3, expected a mapping of keys to values"),
        ([], "THERE is [], expected a mapping of keys to values"),
        ({}, "missing key `name` in THERE"),
        ({"name": 3}, "`name` in THERE is 3, expected text"),
        ({"name": "w", "x": 1, "share": 2}, "unknown key `x` in THERE"),
        ({"name": "w", "parts": {"a": {}}}, "missing key `parts.a.size` in THERE"),
        (
            {"name": "w", "parts": {"a": {"size": 1, "shares": {"b": math.nan}}}},
            "`parts.a.shares.b` in THERE is nan, expected a number",
        ),
        (
            {"name": "w", "parts": {"a": {"size": 1, "pair": [1, 2, 3]}}},
            "`parts.a.pair` in THERE is [1, 2, 3], expected a list of 2, each a number or null",
        ),
        ({"name": "w", "kind": "flt"}, '`kind` in THERE is "flt", expected one of round, flat'),
        ({"name": "w", "share": 0}, "`share` in THERE is 0, expected a number, above 0, at most 1"),
        ({"name": "w", 3: 4}, "unknown key `3` in THERE"),
    ],
)
def test_wrong_value_is_named_with_what_was_expected(raw: object, message: str) -> None:
    assert refusal(raw) == message


def test_values_given_in_python_are_checked_too() -> None:
    with pytest.raises(pydantic.ValidationError):
        Whole("w", share=2.0)


def test_docstrings_below_fields_are_their_docs() -> None:
    assert field_docs(Whole) == {"name": "Name of the whole.", "share": "Share of something."}
    assert field_docs(Part) == {}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_value_is_shown_in_one_line(value: object) -> None:
    assert len(show(value)) <= 64 and "\n" not in show(value)


def test_large_and_odd_values_are_shown_in_one_line() -> None:
    for value in (10**5000, [[[]] * 9] * 9, "\n" * 9, "x" * 10**6, {"a": "\t"}):
        assert len(show(value)) <= 64 and "\n" not in show(value) and "\t" not in show(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "parts", "size", "pair", "a"]), inner, max_size=4
        )
    ),
)


@given(JSON)
def test_any_json_is_a_value_or_a_line(raw: object) -> None:
    try:
        assert isinstance(build(Whole, raw, lambda key: "x"), Whole)
    except RecipeError as error:
        assert "\n" not in error.message and len(error.message) < 300


BAD = {
    "deep": ("[" * 100_000, "is nested too deep, or has a number too long"),
    "long": ('{"size": ' + "9" * 5000 + "}", "is nested too deep, or has a number too long"),
    "torn": ('{"size": 1', "is not JSON, or cut short"),
    "not an object": ("3", "is 3, expected a mapping"),
    "wrong type": ('{"size": "1"}', 'is "1", expected a whole number'),
    "out of range": ('{"size": 0}', "is 0, expected a whole number, at least 1"),
    "infinite": ('{"size": 1, "shares": {"a": Infinity}}', "is inf, expected a number"),
    "surrogate": ('{"size": 1, "rest": "\\ud800"}', "holds no text"),
    "deep inside": ('{"size": 1, "rest": ' + "[" * 500 + "]" * 500 + "}", "too deep"),
}


@pytest.mark.parametrize("kind", BAD)
def test_damaged_json_names_its_line_and_how_to_make_it_anew(tmp_path: Path, kind: str) -> None:
    text, words = BAD[kind]
    path = tmp_path / "log.jsonl"
    path.write_text(f"{json.dumps({'size': 1})}\n\n{text}\n")
    with pytest.raises(DataError) as caught:
        read_json_lines(Part, path, "evaluate again")
    assert f"line 3 of `{path}`" in caught.value.message and words in caught.value.message
    assert caught.value.hint == "evaluate again"
    path.write_text(text)
    with pytest.raises(DataError, match=r"`.*log.jsonl`"):
        read_json(Part, path, "evaluate again")


def test_log_of_values_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"size": 1}\r\n{"size": 2, "pair": [0, 1]}')
    assert read_json_lines(Part, path, "x") == [Part(1), Part(2, pair=(0.0, 1.0))]


def test_file_that_is_no_text_has_the_hint_of_its_maker(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff{}")
    for path in (tmp_path / "a", tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError) as caught:
            read_json(Part, path, "evaluate again")
        assert caught.value.hint == "evaluate again"


def test_ranges_read_as_people_say_them() -> None:
    assert refusal({"size": 2**31}, Part).endswith("expected a whole number, at most 2147483647")

    @dataclass(frozen=True)
    class One:
        share: Fraction

    assert refusal({"share": 95}, One).endswith("is 95, expected a number, from 0 to 1")
