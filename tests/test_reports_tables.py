"""Tables: records beside each other, and how cells look in each form."""

import re

import pytest

from mue_cli.reports.record import Record
from mue_cli.reports.table_forms import to_csv, to_document, to_latex, to_markdown, to_text
from mue_cli.reports.tables import Column, Estimate, Table, compare

DEPTHS = {"num_encoder_layers": 6, "num_decoder_layers": 6}


def record(method, score, **costs):
    return Record(
        "00000001",
        "shapes-caption",
        "caption",
        "shapes",
        "test",
        method,
        0,
        500,
        "CIDEr",
        {"CIDEr": score},
        costs,
    )


FULL = record(
    "full",
    420.04,
    expected=0.0,
    flops=0.0,
    image_layers=6.0,
    text_layers=6.0,
    decoder_layers=6.0,
    **DEPTHS,
)
MUE = record(
    "mue",
    411.0,
    expected=0.4125,
    flops=0.36,
    measured=0.28,
    image_layers=2.5,
    text_layers=3.25,
    decoder_layers=3.0,
    **DEPTHS,
)


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


SEEDS = Table(
    (
        Column("model"),
        Column("CIDEr", ".1f"),
        Column("expected", ".1%"),
        Column("CIDEr", ".1f", "paper"),
        Column("time", ".0%", "paper"),
    ),
    (
        ("full", Estimate(381.25, 12.5), Estimate(0.0, None), 146.7, 0.0),
        ("mue_last", Estimate(99.0, None, (90.0, 105.5)), Estimate(0.4125, 0.01), None, -0.4),
    ),
    ("Ours: 50% of it.", "Paper: *theirs*."),
)


def test_means_stand_below_each_other_and_a_group_behind_a_line_with_its_name():
    assert to_text(SEEDS) == (
        "                                     | (paper)\n"
        "model            CIDEr     expected  |   CIDEr  time\n"
        "--------  ------------  -----------  | -------  ----\n"
        "full      381.2 ± 12.5   0.0%        |   146.7    0%\n"
        "mue_last   99.0         41.2 ± 1.0%  |       -  -40%\n"
        "Ours: 50% of it.\n"
        "Paper: *theirs*.\n"
    )


def test_markdown_says_the_group_in_each_name_and_the_caption_below():
    assert to_markdown(SEEDS).splitlines() == [
        "| model | CIDEr | expected | CIDEr (paper) | time (paper) |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| full | 381.2 ± 12.5 | 0.0% | 146.7 | 0% |",
        r"| mue\_last | 99.0 | 41.2 ± 1.0% | - | -40% |",
        "",
        r"Ours: 50% of it. Paper: \*theirs\*.",
    ]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("<b>", r"\<b\>"),
        ("`x` [y]", r"\`x\` \[y\]"),
        ("a\nb", "a b"),
    ],
)
def test_nothing_in_a_cell_is_markdown(cell, shown):
    assert to_markdown(Table((Column("a"),), ((cell,),))).splitlines()[2] == f"| {shown} |"


def test_text_of_several_lines_stays_in_its_row():
    table = Table((Column("name"), Column("x", ".1f")), (("a\r\nb\nc", 1.0),))
    assert to_text(table).splitlines()[2] == "a b c  1.0"
    assert len(to_markdown(table).splitlines()) == 3


def test_csv_has_deviations_and_intervals_in_columns_of_their_own_with_full_precision():
    assert to_csv(SEEDS).splitlines() == [
        "model,CIDEr,CIDEr sd,CIDEr low,CIDEr high,expected,expected sd,CIDEr (paper),time (paper)",
        "full,381.25,12.5,,,0.0,,146.7,0.0",
        "mue_last,99.0,,90.0,105.5,0.4125,0.01,,-0.4",
    ]


def test_json_holds_an_estimate_as_an_object():
    document = to_document(SEEDS)
    assert document["rows"][1] == {
        "model": "mue_last",
        "CIDEr": {"mean": 99.0, "sd": None, "bounds": [90.0, 105.5]},
        "expected": {"mean": 0.4125, "sd": 0.01},
        "CIDEr (paper)": None,
        "time (paper)": -0.4,
    }
    assert document["caption"] == "Ours: 50% of it. Paper: *theirs*."


def test_latex_is_a_float_of_booktabs_with_the_group_above_its_columns():
    lines = to_latex(SEEDS).splitlines()
    start = lines.index(r"\begin{tabular}{lrr@{\qquad}rr}")
    assert lines[start + 1 : -1] == [
        r"\toprule",
        r" &  &  & \multicolumn{2}{c}{paper} \\",
        r"\cmidrule(lr){4-5}",
        r"model & CIDEr & expected & CIDEr & time \\",
        r"\midrule",
        r"full & 381.2 $\pm$ 12.5 & 0.0\% & 146.7 & 0\% \\",
        r"mue\_last & 99.0 & 41.2 $\pm$ 1.0\% & -- & $-$40\% \\",
        r"\bottomrule",
        r"\end{tabular}}",
        r"\caption{Ours: 50\% of it. Paper: {*}theirs{*}.}",
    ]
    assert (lines[0], lines[1], lines[-1]) == (
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\end{table*}",
    )


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a_b & c", r"a\_b \& c"),
        ("50% of $x$ #1", r"50\% of \$x\$ \#1"),
        (r"\cmd{y}", r"\textbackslash{}cmd\{y\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("2 ± 1\u00a0x", r"2 $\pm$ 1~x"),
        ("[3] *", "{[}3] {*}"),
        ("-", "-"),
    ],
)
def test_nothing_in_a_cell_is_latex(cell, shown):
    lines = to_latex(Table((Column("a"),), ((cell,),))).splitlines()
    assert lines[lines.index(r"\midrule") + 1] == rf"{shown} \\"


def test_every_row_of_latex_has_as_many_cells_as_there_are_columns():
    rows = [
        line
        for line in to_latex(SEEDS).splitlines()
        if line.endswith(r" \\") and "multicolumn" not in line
    ]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [4, 4, 4]


def test_two_groups_have_a_line_and_a_name_each():
    table = Table(
        (
            Column("a"),
            Column("b", "d", "one"),
            Column("c", "d", "two"),
            Column("d", "d", "two"),
            Column("e", "d"),
        ),
        (("x", 1, 2, 3, 4),),
    )
    assert to_text(table).splitlines()[0:2] == ["   | (one)  | (two)", "a  |     b  |     c  d  e"]
    assert r" & \multicolumn{1}{c}{one} & \multicolumn{2}{c}{two} &  \\" in to_latex(table)
