"""Records on disk: one line each, none lost unnoticed."""

import json

import pytest

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.record import Record, append_record, read_records


def record(method="mue", score=128.7):
    return Record(
        id="00000001",
        recipe="shapes-caption",
        task="caption",
        dataset="shapes",
        split="test",
        method=method,
        seed=0,
        num_samples=500,
        metric="CIDEr",
        scores={"CIDEr": score, "BLEU-4": 40.25},
        costs={"expected": 0.41, "num_encoder_layers": 6},
        settings={"image": 0.95, "beam": 5, "note": "a\u2028b é"},
        left_out={"SPICE": "needs jars"},
        versions={"torch": "2.13"},
        confidence={"CIDEr": (120.5, 133.0)},
    )


def test_records_come_back_as_they_were_written_and_in_order(tmp_path):
    path = tmp_path / "runs" / "a" / "records.jsonl"
    append_record(path, record("full"))
    append_record(path, record("mue"))
    assert read_records(path) == [record("full"), record("mue")]
    assert path.read_bytes().count(b"\n") == 2
    assert read_records(path)[1].score == 128.7


def test_a_line_cut_short_is_named_and_does_not_swallow_the_next_record(tmp_path):
    path = tmp_path / "records.jsonl"
    append_record(path, record("full"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    append_record(path, record("mue"))
    assert json.loads(path.read_text().split("\n")[2])["method"] == "mue"
    with pytest.raises(DataError) as error:
        read_records(path)
    assert error.value.message == f"{path}, line 2 is not a record: it is cut short or no JSON"
    assert "remove that line" in str(error.value.hint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {"BLEU-4": 1.0}}, "it has no score for its metric 'CIDEr'"),
        ({"costs": 3}, "`costs` is 3"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_json_that_is_no_record_is_named_with_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "records.jsonl"
    append_record(path, record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(DataError) as error:
        read_records(path)
    assert (
        f"{path}, line 1 is not a record" in error.value.message and message in error.value.message
    )


def test_absent_and_empty_files_name_the_command_that_writes_them(tmp_path):
    path = tmp_path / "records.jsonl"
    with pytest.raises(MissingStepError, match="is absent"):
        read_records(path)
    path.write_text("\n")
    with pytest.raises(MissingStepError, match="is empty") as error:
        read_records(path)
    assert "mue evaluate" in str(error.value.hint)


def test_a_number_that_is_not_finite_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "records.jsonl"
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_record(path, record(score=float("nan")))
    assert not path.exists()
