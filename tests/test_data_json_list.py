"""Long lists in JSON files, read entry by entry."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mue_cli.data.sources import json_list
from mue_cli.data.sources.fields import Repeated
from mue_cli.data.sources.json_list import read_list, read_lists
from mue_cli.errors import DataError, MueError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    entries=st.lists(JSON),
    beside=st.dictionaries(st.text().filter(lambda key: key != "wanted"), JSON, max_size=4),
    data=st.data(),
)
def test_entries_are_those_that_json_itself_reads(tmp_path, entries, beside, data):
    keys = data.draw(st.permutations([*beside, "wanted"]))
    content = {key: entries if key == "wanted" else beside[key] for key in keys}
    text = json.dumps(
        content,
        ensure_ascii=data.draw(st.booleans()),
        indent=data.draw(st.sampled_from([None, 0, 3])),
    )
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "CHUNK_CHARACTERS", data.draw(st.integers(1, 40)))
        try:
            expected = json.loads(path.read_text(encoding="utf-8"))["wanted"]
        except UnicodeDecodeError:  # half a character, written as it is
            with pytest.raises(DataError, match="cannot read"):
                list(read_list(path, "wanted"))
        else:
            assert list(read_list(path, "wanted")) == expected


def test_only_a_window_of_the_file_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(json_list, "CHUNK_CHARACTERS", 100)
    path = tmp_path / "file.json"
    path.write_text(
        json.dumps({"images": list(range(5000)), "annotations": [{"text": "x" * 20}] * 1000})
    )
    held = []
    scan = json_list._Scanner._more

    def watched(scanner, size):
        more = scan(scanner, size)
        held.append(len(scanner._text))
        return more

    monkeypatch.setattr(json_list._Scanner, "_more", watched)
    assert sum(1 for _ in read_list(path, "annotations")) == 1000
    assert max(held) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds|cannot read .*: Expecting value"),
        ("[]", "holds a list, not an object"),
        ("12", "holds a int, not an object"),
        ("{}", "has no list 'wanted'"),
        ('{"wanted": {}}', "has no list 'wanted'"),
        ('{"wanted": [1], "wanted": [2]}', "has the list 'wanted' twice"),
        ('{"wanted": [1, 2', "cannot read .*: expected ',', found ''"),
        ('{"wanted": [1 2]}', "cannot read .*: expected ',', found '2'"),
        ('{"wanted": [1]', "cannot read .*: expected ',', found ''"),
        ('{"wanted": [1]} {', "cannot read .*: something follows the object"),
        ('{"wanted": [tru]}', "cannot read .*: Expecting value"),
        ('{"wanted": ["cut', "cannot read .*: Unterminated string"),
        ('{"wanted" [1]}', "cannot read .*: expected ':'"),
        ('{"wanted": [' + "[" * 100_000, "cannot read"),
        ('{"wanted": [' + "9" * 5000 + "]}", "cannot read"),
    ],
)
def test_what_is_no_such_list_is_a_data_error(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_list(path, "wanted"))


def test_object_with_a_key_twice_is_told_from_the_others(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    path.write_text('{"wanted": [{"a": 1}, {"a": 1, "b": 2, "a": 3}, {"c": [{"d": 1, "d": 1}]}]}')
    for window in (4, 10_000):
        monkeypatch.setattr(json_list, "CHUNK_CHARACTERS", window)
        expected = [{"a": 1}, Repeated("a"), {"c": [Repeated("d")]}]
        assert list(read_list(path, "wanted")) == expected


def test_bytes_that_are_no_text_and_missing_files_are_data_errors(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\x1f\x8b\x08\xff\xff")
    for name in ("binary.json", "missing.json"):
        with pytest.raises(MueError, match=f"cannot read .*{name}") as caught:
            list(read_list(tmp_path / name, "wanted"))
        assert caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_files_with_a_mark_at_their_start_are_read(tmp_path, encoding):
    path = tmp_path / "file.json"
    path.write_text('{"wanted": ["größe", "星"]}', encoding=encoding)
    assert list(read_list(path, "wanted")) == ["größe", "星"]


def test_several_lists_come_in_the_order_of_the_file_and_some_may_be_absent(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"b": [{"x": 1}, {"x": 2}], "other": [0], "a": [3], "b2": 7}')
    assert list(read_lists(path, ("a",), optional=("b", "c"))) == [
        ("b", {"x": 1}),
        ("b", {"x": 2}),
        ("a", 3),
    ]
    with pytest.raises(DataError, match="has no list 'c'"):
        list(read_lists(path, ("a", "c")))
