"""Choices that a clock makes are made once: what is kept counts, whatever a later measurement would
say.
"""

import json

import pytest

from mue_cli.inference.cpu.choice import CACHE_VARIABLE, Choice, cache_folder, kept_choice

UNDER = {"processor": "one", "threads": 1, "sizes": (16, 8)}
FIXED = Choice(False, "fixed")
FAST = Choice(True, "1 ms against 2 ms")


def stored(folder):
    return list((folder / "choices").iterdir())


def test_the_first_measurement_is_kept_with_its_reason(tmp_path):
    assert kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path) == FAST
    again = kept_choice("columns", UNDER, lambda: pytest.fail("measured"), FIXED, tmp_path)
    assert again == FAST
    (path,) = stored(tmp_path)
    assert json.loads(path.read_text()) == {
        "value": True,
        "reason": "1 ms against 2 ms",
        "under": {"processor": "one", "threads": 1, "sizes": [16, 8]},
    }


def test_other_conditions_are_another_choice(tmp_path):
    slow = Choice(False, "3 ms against 2 ms")
    assert kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path) == FAST
    assert kept_choice("columns", UNDER | {"threads": 2}, lambda: slow, FIXED, tmp_path) == slow
    assert kept_choice("columns", UNDER, lambda: slow, FIXED, tmp_path) == FAST
    assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00",
        b"[1]",
        b'{"value": "yes", "reason": "", "under": {}}',
        b'{"value": true, "reason": "of another machine", "under": {"processor": "two"}}',
    ],
)
def test_a_damaged_file_is_measured_anew(tmp_path, damage):
    kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path)
    (path,) = stored(tmp_path)
    path.write_bytes(damage)
    slow = Choice(False, "3 ms against 2 ms")
    assert kept_choice("columns", UNDER, lambda: slow, FIXED, tmp_path) == slow
    assert kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path) == slow


def test_where_nothing_can_be_kept_a_fixed_rule_decides(tmp_path):
    (tmp_path / "choices").write_text("a file where the folder should be")
    assert kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path) == FIXED
    assert kept_choice("columns", UNDER, lambda: FAST, FIXED, tmp_path / "choices") == FIXED


def test_of_two_processes_the_first_to_write_decides_for_both(tmp_path):
    slow = Choice(False, "3 ms against 2 ms")

    def meanwhile() -> Choice:
        assert kept_choice("columns", UNDER, lambda: slow, FIXED, tmp_path) == slow
        return FAST

    assert kept_choice("columns", UNDER, meanwhile, FIXED, tmp_path) == slow
    assert len(stored(tmp_path)) == 1


def test_the_cache_folder_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mue"
