"""Records on disk: one line each, none lost unnoticed."""

import json
from dataclasses import replace

import pytest

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.record import Record, append_record, evaluation_id, read_records


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
        costs={"expected": 0.41, "num_encoder_layers": 6.0},
        settings={"image": 0.95, "beam": 5, "note": "a\u2028b é"},
        left_out={"SPICE": "needs jars"},
        versions={"torch": "2.13"},
        confidence={"CIDEr": (120.5, 133.0)},
        difference={"CIDEr": (-6.5, 1.25)},
    )


def test_records_come_back_as_they_were_written_and_in_order(tmp_path):
    path = tmp_path / "runs" / "a" / "records.jsonl"
    append_record(path, record("full"))
    append_record(path, record("mue"))
    assert read_records(path) == [record("full"), record("mue")]
    assert path.read_bytes().count(b"\n") == 2
    assert read_records(path)[1].score == 128.7


def test_an_evaluation_made_again_counts_once_and_last(tmp_path):
    path = tmp_path / "records.jsonl"
    append_record(path, record("mue", 1.0), record("full"))
    append_record(path, record("mue", 2.0))
    assert read_records(path) == [record("full"), record("mue", 2.0)]
    assert path.read_bytes().count(b"\n") == 3


def test_an_id_is_of_what_is_evaluated():
    first = evaluation_id({"method": "mue", "thresholds": {"image": 0.9, "text": 0.8}})
    assert first == evaluation_id({"thresholds": {"text": 0.8, "image": 0.9}, "method": "mue"})
    assert first != evaluation_id({"method": "mue", "thresholds": {"image": 0.9, "text": 0.81}})
    assert len(first) == 8 and int(first, 16) >= 0


def test_a_line_cut_short_is_named_and_does_not_swallow_the_next_record(tmp_path):
    path = tmp_path / "records.jsonl"
    append_record(path, record("full"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    append_record(path, record("mue"))
    assert json.loads(path.read_text().split("\n")[2])["method"] == "mue"
    with pytest.raises(DataError) as error:
        read_records(path)
    assert error.value.message == f"line 2 of `{path}` is not JSON, or cut short"
    assert "remove that line" in str(error.value.hint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {"BLEU-4": 1.0}}, 'PLACE has no score for its metric "CIDEr"'),
        ({"costs": 3}, "`costs` in PLACE is 3, expected a mapping of keys to values"),
        ({"costs": {"expected": "1"}}, '`costs.expected` in PLACE is "1", expected a number'),
        ({"costs": {"flops": 1}}, "PLACE has no `expected` among its costs"),
        ({"colour": "red"}, "unknown key `colour` in PLACE"),
        ({"num_samples": 0}, "`num_samples` in PLACE is 0, expected a whole number, at least 1"),
        ({"seed": "first"}, '`seed` in PLACE is "first", expected a whole number, at least 0'),
        ({"scores": None}, "`scores` in PLACE is null, expected a mapping of keys to values"),
    ],
)
def test_json_that_is_no_record_is_named_with_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "records.jsonl"
    append_record(path, record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(DataError) as error:
        read_records(path)
    assert error.value.message == message.replace("PLACE", f"line 1 of `{path}`")


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


def test_records_of_one_evaluation_are_added_in_one_go(tmp_path):
    path = tmp_path / "records.jsonl"
    append_record(path, record("full"))
    with pytest.raises(ValueError):
        append_record(path, record("mue"), record(score=float("inf")))
    append_record(path, record("mue"), record("calm"))
    assert [each.method for each in read_records(path)] == ["full", "mue", "calm"]


def test_numbers_of_layers_are_costs_that_a_record_may_lack():
    costs = {"num_encoder_layers": 6.0, "num_decoder_layers": 4.0}
    assert replace(record(), costs=costs).num_layers == (6, 4)
    with pytest.raises(DataError, match="has no 'num_decoder_layers' among its costs"):
        _ = record().num_layers
