"""Records beside each other."""

from mue_cli.reports.record import Record
from mue_cli.reports.tables import compare, to_csv, to_markdown, to_text

DEPTHS = {"num_encoder_layers": 6, "num_decoder_layers": 6}


def record(method, score, **costs):
    return Record("shapes-caption", "caption", "shapes", "test", method, 0, 500, "CIDEr", {"CIDEr": score}, costs)


FULL = record("full", 420.04, expected=0.0, flops=0.0, image_layers=6.0, text_layers=6.0, decoder_layers=6.0, **DEPTHS)
MUE = record("mue", 411.0, expected=0.4125, flops=0.36, measured=0.28, image_layers=2.5, text_layers=3.25, decoder_layers=3.0, **DEPTHS)


def test_text_lines_up_words_to_the_left_and_numbers_to_the_right():
    assert to_text(compare([FULL, MUE])) == (
        "method  data         samples  CIDEr  expected  FLOPs  measured  image exit  text exit  decoder exit  layers\n"
        "------  -----------  -------  -----  --------  -----  --------  ----------  ---------  ------------  ------\n"
        "full    shapes test      500  420.0      0.0%   0.0%         -        6.00       6.00          6.00  6+6\n"
        "mue     shapes test      500  411.0     41.2%  36.0%     28.0%        2.50       3.25          3.00  6+6\n"
    )


def test_markdown_has_one_row_per_record():
    lines = to_markdown(compare([MUE])).splitlines()
    assert lines[0].startswith("| method | data | samples | CIDEr | expected |")
    assert lines[1].startswith("| --- | --- | ---: | ---: |")
    assert lines[2].startswith("| mue | shapes test | 500 | 411.0 | 41.2% | 36.0% | 28.0% |")


def test_csv_keeps_full_precision_and_leaves_absent_values_empty():
    lines = to_csv(compare([FULL, MUE])).splitlines()
    assert lines[1] == "full,shapes test,500,420.04,0.0,0.0,,6.0,6.0,6.0,6+6"
    assert lines[2] == "mue,shapes test,500,411.0,0.4125,0.36,0.28,2.5,3.25,3.0,6+6"


def test_columns_nobody_has_are_left_out():
    names = [column.name for column in compare([record("mue", 1.0, expected=0.1)]).columns]
    assert names == ["method", "data", "samples", "CIDEr", "expected"]
