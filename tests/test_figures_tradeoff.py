"""Trade-off: what is drawn is what was measured, and it can be read."""

import dataclasses

import numpy as np
import pytest
from figure_reading import lines, texts
from PIL import Image

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.curves import Search
from mue_cli.reports.entries import Entry
from mue_cli.reports.figures.reductions import reductions_figure
from mue_cli.reports.figures.tradeoff import tradeoff, tradeoff_figure
from mue_cli.reports.record import Record


def record(
    method,
    score,
    expected,
    dataset="shapes",
    task="caption",
    metric="CIDEr",
    split="test",
    bounds=None,
    **costs,
):
    confidence = {metric: bounds} if bounds else {}
    return Record(
        "00000001",
        "r",
        task,
        dataset,
        split,
        method,
        0,
        500,
        metric,
        {metric: score},
        {"expected": expected, **costs},
        confidence=confidence,
    )


def entry(row, score, expected, full_score=400.0, seed=0, swept=False, **rest):
    point = expected if swept else None
    return Entry(
        row,
        seed,
        dataclasses.replace(
            record(row.split("-")[0], score, expected, **rest), point=point, row=row
        ),
        full_score,
    )


ENTRIES = [
    entry("full", 400.0, 0.0, bounds=(390.0, 410.0)),
    entry("mue", 390.0, 0.41, flops=0.36, measured=0.28),
]


def study(seeds=(0, 1, 2)):
    """Return a full study as `mue_cli.study.entries` would: full models of different worth, swept
    and calibrated settings.
    """
    found = []
    for seed in seeds:
        worth = 400.0 + 10.0 * seed
        found += [
            entry("full", worth, 0.0, worth, seed),
            entry("small", 0.9 * worth, 0.33, worth, seed, flops=0.3, measured=0.25),
        ]
        for number, row in enumerate(("static", "deebert", "pabee", "deecap", "calm", "mue")):
            deepest = 0.4 + 0.03 * number
            for share in np.linspace(0.1, 1.0, 8):
                e = share * deepest
                found.append(
                    entry(
                        row,
                        worth * (1.0 - 0.9 * share**4),
                        e,
                        worth,
                        seed,
                        swept=True,
                        flops=0.8 * e,
                    )
                )
            e = 0.8 * deepest + 0.01 * seed
            found.append(
                entry(
                    row,
                    worth * (0.6 - 0.01 * seed),
                    e,
                    worth,
                    seed,
                    flops=0.8 * e,
                    measured=0.6 * e,
                )
            )
        found.append(entry("oracle", worth, 0.6 + 0.01 * seed, worth, seed))
        found += [
            entry("mue-joint", 0.5 * worth, 0.4, worth, seed),
            entry("mue-last", 0.1 * worth, 0.4, worth, seed),
        ]
    return found


def test_other_data_than_the_papers_is_drawn_relative_to_each_full_model():
    scores, paper = tradeoff_figure(ENTRIES, paper=True).axes
    drawn = lines(scores)
    assert drawn["full"] == [[0.0, 100.0]]
    assert drawn["MuE"] == [[41.0, pytest.approx(97.5)]]
    published = [[pytest.approx(40.2), pytest.approx(100 * 137.0 / 146.7)]]
    assert lines(paper)["MuE (paper)"] == published
    assert scores.get_ylabel() == "CIDEr (% of the full model's)"
    title = paper.get_title().replace("\u00a0", " ")
    assert title == "MuE, CVPR 2023, Table 1: COCO (Karpathy test)\nOFA-Base, 146.7 = 100 %"


def test_the_papers_points_are_left_out_unless_they_are_wanted():
    (scores,) = tradeoff_figure(ENTRIES).axes
    assert not any("paper" in name for name in lines(scores))


def test_a_metric_that_the_paper_does_not_have_is_drawn_alone():
    entries = [entry("full", 70.0, 0.0, 70.0, metric="exact match")]
    (scores,) = tradeoff_figure(entries, paper=True).axes
    assert scores.get_ylabel() == "exact match (% of the full model's)"


def test_differences_to_the_full_model_are_drawn_instead_where_they_are_known():
    full, mue = ENTRIES
    sure = dataclasses.replace(mue.record, difference={mue.record.metric: (-20.0, 4.0)})
    scores = tradeoff_figure([full, dataclasses.replace(mue, record=sure)]).axes[0]
    bars = [
        np.column_stack(line.get_data()).tolist()
        for line in scores.get_lines()
        if line.get_marker() == "_"
    ]
    assert bars == [[[41.0, 95.0], [41.0, 101.0]]]
    assert "bootstrap interval of the difference to full" in texts(scores.figure)


def test_the_papers_data_is_drawn_as_it_is():
    entries = [entry("mue", 88.0, 0.46, dataset="snli-ve", task="entailment", metric="accuracy")]
    scores, paper = tradeoff_figure(entries, paper=True).axes
    assert lines(scores)["MuE"] == [[46.0, 88.0]]
    assert lines(paper)["MuE (paper)"] == [[50.0, 88.5]]
    assert lines(paper)["OFA-Base (paper)"] == [[0.0, 89.2]]
    assert scores.get_ylabel() == "accuracy (%)"


def test_confidence_is_drawn_on_the_same_scale_as_the_score():
    scores = tradeoff_figure(ENTRIES).axes[0]
    bars = [
        np.column_stack(line.get_data()).tolist()
        for line in scores.get_lines()
        if line.get_marker() == "_"
    ]
    assert bars == [[[0.0, 97.5], [0.0, 102.5]]]
    assert "bootstrap" in texts(scores.figure)


def test_settings_of_a_search_are_dots_relative_to_the_full_model_on_the_same_samples():
    search = Search("mue", "val", 200, 500.0, [(0.4, 450.0), (0.3, 500.0), (0.2, 400.0)])
    drawn = lines(tradeoff_figure(ENTRIES, [search]).axes[0])
    assert drawn["MuE tried"] == [[40.0, 90.0], [30.0, 100.0], [20.0, 80.0]]
    assert drawn["MuE front"] == [[30.0, 100.0], [40.0, 90.0]]


def test_names_in_a_crowded_figure_do_not_overlap():
    crowd = [
        entry(m, s, e, flops=e - 0.05, measured=e - 0.1)
        for m, s, e in (("deebert", 330, 0.18), ("pabee", 345, 0.2), ("calm", 390, 0.25))
    ]
    sweep = [
        entry(
            "mue",
            400 - 200 * e**2,
            e,
            flops=0.9 * e,
            measured=0.7 * e,
            bounds=(380 - 200 * e**2, 415.0),
        )
        for e in (0.2, 0.3, 0.4)
    ]
    figure = tradeoff_figure([*ENTRIES, *sweep, *crowd])
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 4
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_figures_are_written_as_png_and_svg(tmp_path):
    png, svg = tradeoff(ENTRIES, tmp_path / "plots" / "v1.2")
    assert png.suffix == ".png" and svg.suffix == ".svg"
    with Image.open(png) as image:
        assert min(image.size) > 500 and np.asarray(image).std() > 10
    assert svg.read_text().rstrip().endswith("</svg>")
    assert (tmp_path / "plots" / "v1.2.png").is_file()


def test_the_same_records_give_the_same_bytes(tmp_path):
    first, second = (tradeoff(ENTRIES, tmp_path / name)[1].read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ([], MissingStepError, "there is no record to plot"),
        ([entry("mue-last", 1.0, 0.4)], MissingStepError, "there is no record to plot"),
        ([entry("mue", 1.0, 0.4, full_score=0.0)], MissingStepError, "no record of `full`"),
        ([entry("full", 0.0, 0.0, full_score=0.0)], DataError, "the full model scores 0"),
        (
            [*ENTRIES, entry("mue", 1.0, 0.4, split="val")],
            DataError,
            "records of different splits cannot share a figure: test, val",
        ),
    ],
)
def test_entries_that_cannot_be_drawn_are_an_error_that_says_why(entries, kind, message):
    with pytest.raises(kind) as error:
        tradeoff_figure(entries)
    assert message in error.value.message


def test_a_sweep_is_a_line_by_rising_reduction_and_the_calibrated_setting_a_larger_marker():
    sweep = [entry("deebert", 100.0 * n, e, swept=True) for n, e in ((1, 0.5), (3, 0.2), (2, 0.3))]
    (scores,) = tradeoff_figure([ENTRIES[0], *sweep, entry("deebert", 240.0, 0.25)]).axes
    drawn = lines(scores)
    assert (
        drawn["DeeBERT line"]
        == drawn["DeeBERT swept"]
        == [[20.0, 75.0], [30.0, 50.0], [50.0, 25.0]]
    )
    assert drawn["DeeBERT"] == [[25.0, 60.0]]
    sizes = {line.get_label(): line.get_markersize() for line in scores.get_lines()}
    assert sizes["DeeBERT"] > 1.8 * sizes["DeeBERT swept"]


def test_several_settings_of_a_method_without_a_sweep_are_joined():
    (scores,) = tradeoff_figure(
        [ENTRIES[0], entry("mue", 300.0, 0.5), entry("mue", 380.0, 0.3)]
    ).axes
    assert lines(scores)["MuE line"] == lines(scores)["MuE"] == [[30.0, 95.0], [50.0, 75.0]]


def test_seeds_are_averaged_each_relative_to_its_own_full_model():
    pairs = [entry("full", 400.0, 0.0, 400.0, 0), entry("full", 200.0, 0.0, 200.0, 1)]
    pairs += [entry("mue", 360.0, 0.40, 400.0, 0), entry("mue", 160.0, 0.44, 200.0, 1)]
    (scores,) = tradeoff_figure(pairs).axes
    assert lines(scores)["full"] == [[0.0, 100.0]]
    assert lines(scores)["MuE"] == [[pytest.approx(42.0), pytest.approx(85.0)]]
    bars = {
        line.get_marker(): np.column_stack(line.get_data()).tolist()
        for line in scores.get_lines()
        if line.get_marker() in "_|"
    }
    assert bars == {
        "|": [[40.0, pytest.approx(85.0)], [44.0, pytest.approx(85.0)]],
        "_": [[pytest.approx(42.0), 80.0], [pytest.approx(42.0), 90.0]],
    }
    assert "500 samples, 2 seeds. Bars: range of the seeds." in texts(scores.figure)


def test_the_band_reaches_from_the_lowest_seed_to_the_highest_and_no_points_crowd_it():
    sweep = [
        entry("calm", y, e, swept=True, seed=seed)
        for seed, y in ((0, 300.0), (1, 380.0))
        for e in (0.1, 0.3)
    ]
    (scores,) = tradeoff_figure(
        [*(entry("full", 400.0, 0.0, seed=seed) for seed in (0, 1)), *sweep]
    ).axes
    band = next(
        found.get_paths()[0].vertices for found in scores.collections if len(found.get_paths())
    )
    assert (band[:, 1].min(), band[:, 1].max()) == (75.0, 95.0)
    line = lines(scores)["CALM line"]
    assert (line[0], line[-1]) == ([10.0, pytest.approx(85.0)], [30.0, pytest.approx(85.0)])
    assert "CALM swept" not in lines(scores)
    assert "Line: threshold swept; marker: calibrated setting; band, bars: range" in texts(
        scores.figure
    )


def test_seeds_without_a_common_reduction_are_points_with_a_name():
    sweep = [
        entry("calm", 400.0 - 100 * e, e, swept=True, seed=seed)
        for seed, es in ((0, (0.1, 0.2)), (1, (0.3, 0.4)))
        for e in es
    ]
    (scores,) = tradeoff_figure(
        [*(entry("full", 400.0, 0.0, seed=seed) for seed in (0, 1)), *sweep]
    ).axes
    assert "CALM line" not in lines(scores) and len(lines(scores)["CALM swept"]) == 4
    assert "CALM" in [text.get_text() for text in scores.texts]


def test_no_caption_is_longer_than_two_lines():
    search = Search("mue", "val", 2000, 500.0, [(0.4, 450.0)] * 16)
    for figure in (
        tradeoff_figure(study()),
        tradeoff_figure(study((0,))),
        tradeoff_figure(ENTRIES, [search]),
        tradeoff_figure(study(), paper=True),
        reductions_figure(study()),
    ):
        (caption,) = figure.texts
        assert caption.get_text().count("\n") <= 1


def test_a_seed_without_a_full_model_is_left_out_and_the_caption_says_so():
    figure = tradeoff_figure(
        [
            *ENTRIES,
            entry("mue", 100.0, 0.7, full_score=0.0, seed=1),
            entry("mue", 100.0, 0.7, full_score=0.0, seed=2),
        ]
    )
    assert lines(figure.axes[0])["MuE"] == [[41.0, pytest.approx(97.5)]]
    assert "Without seeds 1, 2, where `full` was not evaluated." in texts(figure)
    assert "Without" not in texts(tradeoff_figure(ENTRIES))


def test_on_the_papers_data_no_seed_needs_a_full_model():
    entries = [
        entry(
            "mue",
            88.0,
            0.46,
            full_score=0.0,
            dataset="snli-ve",
            task="entailment",
            metric="accuracy",
        )
    ]
    entries.append(
        entry("full", 90.0, 0.0, 90.0, 1, dataset="snli-ve", task="entailment", metric="accuracy")
    )
    figure = tradeoff_figure(entries)
    assert "MuE" in lines(figure.axes[0]) and "Without" not in texts(figure)


def test_bootstrap_intervals_are_not_mixed_with_the_spread_of_seeds():
    figure = tradeoff_figure([*ENTRIES, *(entry("full", 300.0, 0.0, 300.0, 1, bounds=(1.0, 2.0)),)])
    assert "bootstrap" not in texts(figure)
    assert not any(line.get_marker() == "_" for line in figure.axes[0].get_lines())


def test_rows_for_a_table_alone_are_not_drawn_and_the_oracle_is_a_dashed_line():
    (scores,) = tradeoff_figure(study()).axes
    assert not any("joint" in name or "last" in name for name in lines(scores))
    (oracle,) = [line for line in scores.get_lines() if line.get_label().startswith("oracle")]
    assert oracle.get_linestyle() == "--" and oracle.get_linewidth() < 1
    assert "oracle" in texts(scores.figure)


def test_every_row_of_a_study_has_its_own_colour_and_marker():
    markers = {
        line.get_label(): (line.get_marker(), line.get_color())
        for line in tradeoff_figure(study()).axes[0].get_lines()
    }
    looks = [
        markers[name]
        for name in ("full", "small", "static", "DeeBERT", "PABEE", "DeeCap", "CALM", "MuE")
    ]
    assert (
        len({marker for marker, _ in looks}) == len({colour for _, colour in looks}) == len(looks)
    )


def test_names_in_a_study_do_not_overlap_and_stay_inside_the_figure():
    figure = tradeoff_figure(study())
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        assert all(
            figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            for box in boxes
        )


def test_a_curve_that_falls_to_nothing_is_cut_off():
    sweep = [entry("calm", y, e, swept=True) for y, e in ((390.0, 0.1), (5.0, 0.5))]
    (scores,) = tradeoff_figure([*ENTRIES, *sweep, entry("calm", 380.0, 0.2)]).axes
    assert 90.0 < scores.get_ylim()[0] < 95.0


def test_a_point_far_below_the_methods_is_an_arrow_with_its_number_so_that_their_differences_show():
    close = [
        entry(row, score, 0.3)
        for row, score in (("mue", 400.0), ("calm", 397.0), ("deebert", 396.0))
    ]
    (scores,) = tradeoff_figure([ENTRIES[0], *close, entry("small", 340.0, 0.33)]).axes
    bottom, top = scores.get_ylim()
    assert bottom == pytest.approx(97.0) and top < 104.0
    names = [text.get_text() for text in scores.texts]
    assert "small \u2193 85.0" in names and "CALM" in names
    (x, y) = lines(scores)["small below"][0]
    assert x == 33.0 and bottom < y < bottom + 0.3 * (top - bottom)
    assert "\u2193: score of a point below the axis." in texts(scores.figure)


def test_an_oracle_has_no_interval_of_its_score():
    (scores,) = tradeoff_figure(
        [entry("full", 400.0, 0.0), entry("oracle", 400.0, 0.5, bounds=(390.0, 410.0))]
    ).axes
    assert not any(line.get_marker() == "_" for line in scores.get_lines())


def test_an_oracle_is_a_line_across_the_figure_and_no_bound():
    pair = [entry("oracle", 400.0, 0.45 + 0.02 * seed, seed=seed) for seed in (0, 1)]
    (scores,) = tradeoff_figure([ENTRIES[0], *pair]).axes
    (line,) = [line for line in scores.get_lines() if line.get_label() == "oracle (same answers)"]
    assert (
        np.column_stack(line.get_data()).tolist() == [[46.0, 0.0], [46.0, 1.0]]
        and line.get_linestyle() == "--"
    )
    assert "oracle (same answers)" in [text.get_text() for text in scores.texts]
    assert "Dashed: oracle, every answer unchanged." in texts(scores.figure)


def test_rows_of_unequally_many_seeds_are_counted_in_the_caption():
    assert "500 samples, 1 to 2 seeds." in texts(
        tradeoff_figure([*ENTRIES, entry("full", 400.0, 0.0, seed=1)])
    )


def test_every_methods_three_reductions_stand_in_its_row():
    (axes,) = reductions_figure(ENTRIES).axes
    drawn = lines(axes)
    assert drawn["MuE expected"] == [[41.0, 0.0]]
    assert drawn["MuE flops"] == [[36.0, 0.0]]
    assert drawn["MuE measured"] == [[pytest.approx(28.0), 0.0]]
    assert not any(name.startswith("full") for name in drawn)


def test_rows_of_reductions_are_in_the_studys_order_without_analyses_and_ablations():
    (axes,) = reductions_figure(study()).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["small", "static", "DeeBERT", "PABEE", "DeeCap", "CALM", "MuE"]


def test_a_reduction_that_was_not_measured_is_left_out():
    (axes,) = reductions_figure([entry("mue", 1.0, 0.4, flops=0.3)]).axes
    assert "MuE flops" in lines(axes) and "MuE measured" not in lines(axes)


def test_reductions_without_a_method_that_exits_are_refused():
    with pytest.raises(MissingStepError, match="no record of a method that exits"):
        reductions_figure([ENTRIES[0]])
