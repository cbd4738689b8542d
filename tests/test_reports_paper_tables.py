"""The paper's Tables 1, 3 and 4 with entries whose means and spreads are worked out by hand."""

import csv
import io
from dataclasses import replace

import pytest

from mue_cli.errors import DataError
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.entries import Entry, check_alike, check_inputs
from mue_cli.reports.paper_tables import (
    ablation_table,
    estimate,
    missing_rows,
    models_table,
    tradeoff_table,
)
from mue_cli.reports.record import Record
from mue_cli.reports.table_forms import to_csv, to_text
from mue_cli.reports.tables import Estimate, Table
from mue_cli.schema.schema import show

METRICS = {"caption": "CIDEr", "entailment": "accuracy"}


def entry(
    row,
    score,
    expected,
    seed=0,
    point=None,
    task="caption",
    dataset="shapes",
    split="test",
    full=400.0,
    **more,
):
    costs = {
        "expected": expected,
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        **more.pop("costs", {}),
    }
    scores = {METRICS[task]: score, **more.pop("scores", {})}
    record = Record(
        "00000001",
        "recipe",
        task,
        dataset,
        split,
        row,
        seed,
        more.pop("samples", 500),
        METRICS[task],
        scores,
        costs,
        point=point,
        **more,
    )
    return Entry(row, seed, record, full)


def cells(table: Table) -> list[dict[str, str]]:
    """Return each row as its CSV says: column -> text."""
    return list(csv.DictReader(io.StringIO(to_csv(table))))


FULL = [entry("full", score, 0.0, seed) for seed, score in enumerate((390.0, 400.0, 410.0))]
MUE = [
    entry("mue", score, expected, seed)
    for seed, (score, expected) in enumerate([(381.0, 0.38), (384.0, 0.40), (387.0, 0.45)])
]


def test_an_estimate_is_the_mean_and_the_sample_standard_deviation():
    found = estimate([2.0, 4.0, 9.0])
    assert found.mean == 5.0
    assert found.sd == pytest.approx(13**0.5)  # ((-3)^2 + (-1)^2 + 4^2) / (3 - 1)
    assert estimate([7.0], (6.0, 8.0)) == Estimate(7.0, None, (6.0, 8.0))
    assert estimate([]) is None


def test_models_are_in_the_papers_order_then_ours():
    rows = (
        "oracle",
        "calm",
        "static",
        "mue",
        "deecap",
        "pabee",
        "deebert",
        "small",
        "full",
        "mue-joint",
    )
    table = models_table([entry(row, 300.0, 0.3) for row in rows])
    names = [
        "full",
        "small",
        "DeeBERT",
        "PABEE",
        "DeeCap",
        "MuE",
        "static",
        "CALM",
        "oracle (same answers)",
    ]
    assert [row["model"] for row in cells(table)] == names
    assert [row["model (paper)"] for row in cells(table)] == [
        "OFA-Base",
        "OFA-Tiny",
        "DeeBERT",
        "PABEE",
        "DeeCap",
        "MuE",
        "",
        "",
        "",
    ]


def test_text_of_table_1_is_read_line_by_line():
    small = entry(
        "small",
        360.0,
        0.333,
        costs={"num_encoder_layers": 4, "num_decoder_layers": 4, "measured": -0.0001},
    )
    lines = [line.split("|") for line in to_text(models_table([*FULL, *MUE, small])).splitlines()]
    assert [line[0].rstrip() for line in lines[:9]] == [
        "",
        "model    layers         CIDEr       of full     expected  measured  seeds",
        "-------  ------  ------------  ------------  -----------  --------  -----",
        "full     6+6     400.0 ± 10.0  100.0 ± 2.5%   0.0 ± 0.0%         -      3",
        "small    4+4     360.0          90.0%        33.3%            0.0%      1",
        "DeeBERT  -                  -             -            -         -      -",
        "PABEE    -                  -             -            -         -      -",
        "DeeCap   -                  -             -            -         -      -",
        "MuE      6+6     384.0 ± 3.0    96.0 ± 0.8%  41.0 ± 3.6%         -      3",
    ]
    assert [line[1] for line in lines[:5]] == [
        " (paper)",
        " model     BLEU-4  METEOR  CIDEr  SPICE  of full  reduction",
        " --------  ------  ------  -----  -----  -------  ---------",
        " OFA-Base    42.8    31.7  146.7   25.8   100.0%       0.0%",
        " OFA-Tiny    38.1    29.2  128.7   23.1    87.7%      33.0%",
    ]


def test_of_full_is_each_seeds_score_over_its_own_full_model():
    own = [entry("full", 200.0, 0.0, 0, full=200.0), entry("full", 100.0, 0.0, 1, full=100.0)]
    mue = [entry("mue", 180.0, 0.4, 0, full=200.0), entry("mue", 70.0, 0.4, 1, full=100.0)]
    row = cells(models_table([*own, *mue]))[5]
    assert float(row["of full"]) == pytest.approx(0.8)
    assert float(row["of full sd"]) == pytest.approx(0.02**0.5)


def test_of_full_is_left_out_without_a_full_model():
    assert "of full" not in cells(models_table([entry("mue", 180.0, 0.4, full=0.0)]))[0]


def test_csv_has_full_precision():
    row = cells(models_table([*FULL, *MUE]))[5]
    assert (row["model"], row["CIDEr"], row["CIDEr sd"], row["seeds"]) == (
        "MuE",
        "384.0",
        "3.0",
        "3",
    )
    assert float(row["expected"]) == pytest.approx(0.41)
    assert float(row["expected sd"]) == pytest.approx(0.0013**0.5)
    assert (row["CIDEr (paper)"], row["reduction (paper)"]) == ("137.0", "0.402")
    assert float(row["of full (paper)"]) == pytest.approx(137.0 / 146.7)


def test_columns_that_only_the_paper_has_stay_on_its_side():
    table = models_table([entry("mue", 380.0, 0.4, scores={"BLEU-4": 40.0})])
    names = [column.full_name for column in table.columns]
    assert "BLEU-4" in names and "SPICE" not in names and "SPICE (paper)" in names


def test_a_row_that_neither_side_has_is_left_out():
    entailment = models_table([entry("full", 80.0, 0.0, task="entailment", full=80.0)])
    assert [row["model"] for row in cells(entailment)] == [
        "full",
        "small",
        "DeeBERT",
        "PABEE",
        "MuE",
    ]


def test_entailment_has_the_papers_dev_and_test():
    row = cells(models_table([entry("mue", 79.0, 0.4, task="entailment", full=80.0)]))[4]
    assert (row["accuracy"], row["dev (paper)"], row["test (paper)"]) == ("79.0", "88.7", "88.5")
    assert float(row["of full (paper)"]) == pytest.approx(88.5 / 89.2)


def test_a_score_on_val_stands_beside_the_papers_dev():
    row = cells(models_table([entry("mue", 79.0, 0.4, task="entailment", split="val")]))[4]
    assert float(row["of full (paper)"]) == pytest.approx(88.7 / 89.3)


def test_swept_settings_and_repeated_evaluations_are_not_seeds():
    again = [entry("mue", 100.0, 0.4), entry("mue", 300.0, 0.4), entry("mue", 50.0, 0.9, point=0.9)]
    row = cells(models_table(again))[5]
    assert (row["CIDEr"], row["CIDEr sd"], row["seeds"]) == ("300.0", "", "1")


def test_a_seed_without_a_metric_does_not_hide_it():
    timed = [entry("mue", 380.0, 0.4, 0, costs={"measured": 0.3}), entry("mue", 380.0, 0.4, 1)]
    row = cells(models_table(timed))[5]
    assert (row["measured"], row["measured sd"]) == ("0.3", "")


def test_interval_of_a_single_seed_is_in_csv_and_not_in_text():
    table = models_table([entry("mue", 380.0, 0.4, confidence={"CIDEr": (370.5, 389.5)})])
    row = cells(table)[5]
    assert (row["CIDEr low"], row["CIDEr high"]) == ("370.5", "389.5")
    assert "370.5" not in to_text(table)


def test_tradeoff_goes_by_rising_reduction_with_settings_grouped_over_seeds():
    swept = [
        entry("mue", 400.0 - 100 * cost + seed, cost, seed, point=cost)
        for seed in (0, 1)
        for cost in (0.6, 0.2)
    ]
    rows = cells(tradeoff_table([*swept, *FULL, *MUE]))
    assert [(row["model"], row["seeds"]) for row in rows[:4]] == [
        ("full", "3"),
        ("MuE, swept", "2"),
        ("MuE", "3"),
        ("MuE, swept", "2"),
    ]
    assert [float(row["expected"]) for row in rows[:4]] == pytest.approx([0.0, 0.2, 0.41, 0.6])
    assert [row["CIDEr"] for row in rows[:4]] == ["400.0", "380.5", "384.0", "340.5"]
    assert [row["reduction (paper)"] for row in rows] == ["0.0", "0.2", "0.289", "0.342", "0.45"]
    assert rows[4]["model"] == ""


def test_tradeoff_with_more_settings_than_the_paper_shows_them_all():
    swept = [entry("mue", 300.0, cost / 10, point=cost) for cost in range(1, 8)]
    rows = cells(tradeoff_table([*FULL, *swept]))
    assert [row["model (paper)"] for row in rows] == [
        "OFA-Base",
        "MuE",
        "MuE",
        "MuE",
        "MuE",
        "",
        "",
        "",
    ]


def test_tradeoff_says_that_settings_in_one_line_are_not_the_same():
    assert any("are not the same" in sentence for sentence in tradeoff_table(MUE).caption)


def test_ablation_is_three_rows_beside_the_papers():
    rows = cells(
        ablation_table(
            [*FULL, *MUE, entry("mue-joint", 250.0, 0.2), entry("mue-last", 300.0, 0.25)]
        )
    )
    assert [row["model"] for row in rows] == ["MuE", "MuE, joint encoder", "MuE, last-layer loss"]
    assert [row["CIDEr"] for row in rows] == ["384.0", "250.0", "300.0"]
    assert [row["CIDEr (paper)"] for row in rows] == ["137.0", "117.5", "117.9"]
    assert "BLEU-4 (paper)" not in rows[0]


def test_ablation_of_nothing_run_yet_is_the_papers_alone():
    table = ablation_table(FULL)
    assert [row["CIDEr (paper)"] for row in cells(table)] == ["137.0", "117.5", "117.9"]
    assert [sentence.split()[0] for sentence in table.caption] == ["Paper"]


def test_caption_says_whose_numbers_they_are():
    ours, *_, paper = models_table([*FULL, *MUE]).caption
    assert (
        ours == "Ours: shapes test, 500 samples, seeds 0, 1, 2: mean ± sample standard deviation."
    )
    start = "Paper (MuE, CVPR 2023, Table 1): OFA-Base on COCO (Karpathy test), reduction by Eq. 14"
    assert (
        paper
        == f"{start}: other data and another model than ours, so compare `of full`, not the scores."
    )
    one, *_, own = models_table(
        [entry("mue", 1.0, 0.4, dataset="coco", samples=5000), entry("full", 1.0, 0.0, samples=20)]
    ).caption
    assert one == "Ours: shapes test, 20 to 5,000 samples, seed 0."
    assert own.startswith(start)


def test_caption_on_the_papers_own_data_makes_no_excuses():
    assert (
        models_table([entry("mue", 1.0, 0.4, dataset="coco")])
        .caption[-1]
        .endswith("reduction by Eq. 14.")
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [([1, 1], "1 sample"), ([5000], "5,000 samples"), ([7, 1], "1 to 7 samples")],
)
def test_samples_are_counted_in_words(counts, said):
    assert samples_in_words(counts) == said


def test_missing_rows_are_named_in_order():
    assert missing_rows(1, [*FULL, *MUE]) == [
        "small",
        "deebert",
        "pabee",
        "deecap",
        "static",
        "calm",
        "oracle",
    ]
    assert missing_rows(3, FULL) == ["mue", "the curve of mue"]
    assert missing_rows(3, [*FULL, *MUE, entry("mue", 1.0, 0.5, point=0.5)]) == []
    assert missing_rows(4, MUE) == ["mue-joint", "mue-last"]
    assert "deecap" not in missing_rows(1, [entry("full", 80.0, 0.0, task="entailment")])


@pytest.mark.parametrize(
    ("name", "change", "values"),
    [
        ("dataset", {"dataset": "coco"}, "coco, shapes"),
        ("split", {"split": "val"}, "test, val"),
        ("task", {"task": "entailment"}, "caption, entailment"),
    ],
)
def test_entries_that_do_not_belong_together_are_refused(name, change, values):
    with pytest.raises(
        DataError, match=f"records of different {name}s cannot share a table: {values}"
    ) as caught:
        check_alike([*MUE, entry("calm", 1.0, 0.1, **change)], "table")
    assert caught.value.hint == "keep them in run folders of their own"
    check_alike(MUE, "table")


@pytest.mark.parametrize(
    ("name", "change", "values"),
    [
        ("num_samples", {"samples": 20}, "20, 500"),
        ("search.beam", {"settings": {"search": {"beam": 1, "max_tokens": 16}}}, "1, 5"),
        ("precision", {"settings": {"precision": "int8"}}, '"float32", "int8"'),
        ("weights", {"settings": {"weights": "others"}}, '"others", null'),
        ("device", {"settings": {"device": "cuda"}}, '"cpu", "cuda"'),
    ],
)
def test_entries_that_were_evaluated_otherwise_are_refused(name, change, values):
    own = {"search": {"beam": 5, "max_tokens": 16}, "precision": "float32", "device": "cpu"}
    mine = entry("mue", 1.0, 0.4, settings=own)
    change = change | {"settings": own | change.get("settings", {})}
    with pytest.raises(DataError) as caught:
        check_alike([mine, entry("full", 1.0, 0.0, **change)], "figure")
    assert caught.value.message == f"records that differ in {name} cannot share a figure: {values}"
    assert caught.value.hint == "evaluate them alike, or keep them in run folders of their own"
    check_alike([mine, entry("full", 1.0, 0.0, point=0.5, **change)], "figure")


def test_points_of_a_curve_are_averaged_over_seeds_by_their_number():
    """The second seed did not reach the first point."""
    first = [entry("mue", 380.0, 0.21, 0, point=0.2), entry("mue", 300.0, 0.39, 0, point=0.4)]
    second = [entry("mue", 320.0, 0.41, 1, point=0.4), entry("mue", 200.0, 0.6, 1, point=0.6)]
    rows = [
        row
        for row in cells(tradeoff_table([*FULL, *first, *second]))
        if row["model"] == "MuE, swept"
    ]
    assert [(row["CIDEr"], row["seeds"]) for row in rows] == [
        ("380.0", "1"),
        ("310.0", "2"),
        ("200.0", "1"),
    ]


def test_row_that_no_table_knows_is_the_last_of_table_1():
    names = [
        row["model"]
        for row in cells(
            models_table([entry("mine", 300.0, 0.3), *FULL, *MUE, entry("mue-joint", 1.0, 0.1)])
        )
    ]
    assert names[-1] == "mine" and names.count("mine") == 1
    assert "MuE, joint encoder" not in names


def test_caption_says_what_reductions_are_against():
    sentence = "All are against the same weights at full depth; those of another full model, such as `small`, against `full`."
    assert sentence in models_table(FULL).caption


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("data", ("aa", "bb")),
        ("image_size", (32, 64)),
        ("prompt", ("bare", "ofa")),
        ("max_source_tokens", (7, 80)),
        ("weights_fingerprint", ("aa", "bb")),
    ],
)
def test_entries_of_other_inputs_are_refused(name, values):
    mine, theirs = (
        entry(row, 1.0, 0.4, settings={name: value})
        for row, value in zip(("mue", "full"), values, strict=True)
    )
    listed = ", ".join(show(value) for value in values)
    for check, place in ((check_alike, "table"), (check_inputs, "report")):
        with pytest.raises(DataError) as caught:
            check([mine, theirs], place)
        assert caught.value.message == (
            f"records that differ in {name} cannot share a {place}: {listed}"
        )
        assert "take those that count no more out of records.jsonl" in (caught.value.hint or "")
        check([mine, entry("full", 1.0, 0.0, settings={})], place)


def test_rows_of_a_study_may_have_weights_of_their_own():
    of_rows = [
        entry(row, 1.0, 0.4, settings={"weights_fingerprint": row}) for row in ("mue", "full")
    ]
    of_rows = [replace(each, record=replace(each.record, row=each.row)) for each in of_rows]
    check_alike(of_rows, "table")


def test_score_relative_to_another_full_model_than_the_row_is_said():
    mine = entry("mue", 90.0, 0.4, settings={"decompose": True})
    sentence = "MuE is relative to the full model beside it, 400.0, not to the row's 300.0."
    for decompose, said in ((True, True), (False, False)):
        full = entry("full", 300.0, 0.0, full=300.0, settings={"decompose": decompose})
        caption = models_table([full, mine]).caption
        assert (sentence in caption) is said, "another cut has another full model"
    assert sentence not in models_table([entry("full", 400.0, 0.0), mine]).caption
