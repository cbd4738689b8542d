"""What a trade-off figure shows, and where its names go."""

import dataclasses

import numpy as np
import pytest

from mue_cli.reports.curves import CurvePoint, Spread, curves, expected, pareto_front, score
from mue_cli.reports.entries import Entry
from mue_cli.reports.labels import Box, _covered, around, place_labels
from mue_cli.reports.record import Record


def test_pareto_front_keeps_the_points_that_no_other_beats():
    points = [
        (0.1, 90.0),
        (0.3, 95.0),
        (0.2, 95.0),
        (0.5, 80.0),
        (0.4, 80.0),
        (0.4, 70.0),
        (0.0, 100.0),
        (0.3, 95.0),
    ]
    assert pareto_front(points) == [(0.0, 100.0), (0.3, 95.0), (0.5, 80.0)]
    assert pareto_front([]) == []


def test_a_label_with_room_stands_right_beside_its_point():
    (box,) = place_labels([(50, 50)], [(20, 10)], [], Box(0, 0, 100, 100), gap=5)
    assert box == Box(55, 45, 75, 55)


def test_labels_of_neighbouring_points_do_not_overlap():
    anchors = [(50.0, 50.0), (52.0, 51.0), (49.0, 53.0), (51.0, 47.0)]
    markers = [(around(x, y, 3), 8.0) for x, y in anchors]
    boxes = place_labels(anchors, [(30, 8)] * 4, markers, Box(0, 0, 200, 200), gap=6)
    assert all(a.overlap(b) == 0 for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(box.overlap(marker) == 0 for box in boxes for marker, _ in markers)


def test_the_line_to_a_label_does_not_run_through_another_label():
    anchors = [(54.0, 53.0), (32.0, 48.0), (62.0, 55.0), (55.0, 49.0)]
    markers = [(around(x, y, 4), 8.0) for x, y in anchors]
    boxes = place_labels(anchors, [(30, 8)] * 4, markers, Box(0, 0, 100, 100), gap=6)
    for (x, y), box in zip(anchors, boxes, strict=True):
        right, up = box.nearest(x, y)
        way = [(x + (right - x) * step / 20, y + (up - y) * step / 20) for step in range(21)]
        assert not any(other.holds(*at) for other in boxes if other is not box for at in way)


def test_a_label_stays_inside_the_frame():
    (box,) = place_labels([(98, 50)], [(20, 10)], [], Box(0, 0, 100, 100), gap=5)
    assert box.right <= 100


def test_overlap_of_two_boxes_is_their_common_area():
    assert Box(0, 0, 4, 4).overlap(Box(2, 3, 9, 9)) == pytest.approx(2.0)
    assert Box(0, 0, 1, 1).overlap(Box(1, 0, 2, 1)) == 0.0
    assert Box(0, 0, 4, 4).nearest(9, 2) == (4, 2)


def test_a_place_costs_what_it_covers_of_every_obstacle():
    obstacles = [(Box(0, 0, 4, 4), 2.0), (Box(3, 1, 9, 2), 8.0), (Box(20, 20, 30, 30), 5.0)]
    edges = np.array(
        [(box.left, box.bottom, box.right, box.top, weight) for box, weight in obstacles]
    )
    place = Box(2, 0, 8, 3)
    assert (
        _covered(place, edges)
        == sum(weight * place.overlap(box) for box, weight in obstacles)
        == 2.0 * 6 + 8.0 * 5
    )
    assert _covered(place, edges[:0]) == 0.0


def swept(seed: int, points: list[tuple[float, float]]) -> list[Entry]:
    """Return a sweep's entries: (expected reduction, score), relative to a full score of 100."""
    return [
        Entry(
            "calm",
            seed,
            Record(
                "00000001",
                "r",
                "caption",
                "shapes",
                "test",
                "calm",
                seed,
                9,
                "CIDEr",
                {"CIDEr": y},
                {"expected": x},
                point=x,
            ),
            100.0,
        )
        for x, y in points
    ]


def at(curve, reduction: float) -> Spread:
    """Return what a curve's line shows at a reduction in per cent."""
    return next(point.y for point in curve.line if point.x.mean == pytest.approx(reduction))


def test_seeds_that_agree_where_both_were_run_have_no_spread_though_one_was_run_further():
    short, long = (
        swept(0, [(0.5, 50.0), (0.3, 80.0)]),
        swept(1, [(0.1, 100.0), (0.3, 80.0), (0.5, 50.0)]),
    )
    (curve,) = curves([*short, *long], score)
    assert (curve.line[0].x.mean, curve.line[-1].x.mean) == (30.0, 50.0)
    assert all(point.y.high - point.y.low == pytest.approx(0.0) for point in curve.line)
    assert at(curve, 40.0).mean == pytest.approx(65.0)
    assert curve.points == [(10.0, 100.0), (30.0, 80.0), (30.0, 80.0), (50.0, 50.0), (50.0, 50.0)]


def test_a_line_is_the_mean_of_seeds_at_the_same_reduction():
    (curve,) = curves(
        [*swept(0, [(0.2, 90.0), (0.4, 60.0)]), *swept(1, [(0.3, 80.0), (0.5, 40.0)])], score
    )
    assert (curve.line[0].x.mean, curve.line[-1].x.mean) == (30.0, 40.0)
    assert at(curve, 30.0) == Spread(pytest.approx(77.5), pytest.approx(75.0), pytest.approx(80.0))
    assert at(curve, 40.0) == Spread(pytest.approx(60.0), pytest.approx(60.0), pytest.approx(60.0))


def test_seeds_that_share_no_reduction_have_points_and_no_line():
    (curve,) = curves(
        [*swept(0, [(0.1, 99.0), (0.2, 90.0)]), *swept(1, [(0.3, 80.0), (0.5, 40.0)])], score
    )
    assert not curve.line and len(curve.points) == 4


def test_the_line_of_one_seed_goes_through_its_points_whatever_order_they_came_in():
    (curve,) = curves(swept(0, [(0.4, 60.0), (0.2, 90.0)]), score)
    assert [(point.x.mean, point.y) for point in curve.line] == [
        (20.0, Spread(90.0, 90.0, 90.0)),
        (40.0, Spread(60.0, 60.0, 60.0)),
    ]
    assert curve.points == [(20.0, 90.0), (40.0, 60.0)] and not curve.calibrated


def test_one_calibrated_setting_of_each_seed_is_averaged_and_several_stand_for_themselves():
    def settings(seed: int, points: list[tuple[float, float]]) -> list[Entry]:
        return [
            dataclasses.replace(entry, record=dataclasses.replace(entry.record, point=None))
            for entry in swept(seed, points)
        ]

    (single,) = curves([*settings(0, [(0.2, 90.0)]), *settings(1, [(0.4, 80.0)])], score)
    assert single.calibrated == [CurvePoint(Spread(30.0, 20.0, 40.0), Spread(85.0, 80.0, 90.0))]
    (several,) = curves(
        [*settings(0, [(0.2, 90.0), (0.5, 60.0)]), *settings(1, [(0.4, 80.0)])], score
    )
    assert [(point.x.mean, point.y.mean) for point in several.calibrated] == [
        (20.0, 90.0),
        (40.0, 80.0),
        (50.0, 60.0),
    ]


def test_entries_without_the_value_make_no_curve():
    assert curves(swept(0, [(0.1, 1.0)]), lambda entry: None) == []
    assert expected(swept(0, [(0.25, 1.0)])[0]) == 25.0
