"""Rows that lie as columns read as rows."""

import pyarrow as pa
import pytest

from mue_cli.data import rows as module
from mue_cli.data.rows import CaptionRow, EntailmentRow, Rows, is_text


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BATCH", 3)


@pytest.mark.parametrize("count", [0, 2, 3, 8])
def test_rows_come_back_as_they_were_in_their_order(count):
    captions = [
        CaptionRow(str(i), tuple(f"Größe {j} 🙂" for j in range(i % 3))) for i in range(count)
    ]
    pairs = [
        EntailmentRow(str(i), f"p{i}", None if i % 2 else "", "It is.", "neutral")
        for i in range(count)
    ]
    for kind, expected in ((CaptionRow, captions), (EntailmentRow, pairs)):
        rows = Rows(kind, expected)
        assert len(rows) == count
        assert list(rows) == expected == [rows[i] for i in range(count)]
        assert rows[-2:] == expected[-2:]
        with pytest.raises(IndexError):
            rows[count]


def test_rows_take_little_more_than_their_letters(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BATCH", 1000)
    before = module._POOL.bytes_allocated()
    captions = tuple(f"a caption of fifty letters, as people write them {i}" for i in range(5))
    rows = Rows(CaptionRow, (CaptionRow(f"{i:012d}", captions) for i in range(10_000)))
    assert len(rows) == 10_000
    assert isinstance(rows._batches[0], pa.RecordBatch)
    assert module._POOL.bytes_allocated() - before < 10_000 * 1.2 * (12 + sum(map(len, captions)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", True), ("Größe 🙂", True), ("\ud83d", False), (None, False), (3, False)],
)
def test_half_a_character_is_no_text(value, expected):
    assert is_text(value) is expected
