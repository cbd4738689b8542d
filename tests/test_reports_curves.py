"""What a trade-off figure shows, and where its names go."""

import numpy as np
import pytest

from mue_cli.reports.curves import Spread, curves, expected, pareto_front, score
from mue_cli.reports.entries import Entry
from mue_cli.reports.labels import Box, _covered, around, place_labels
from mue_cli.reports.published import PUBLISHED, published_full_score, published_points
from mue_cli.reports.record import Record


def test_pareto_front_keeps_the_points_that_no_other_beats():
    points = [(0.1, 90.0), (0.3, 95.0), (0.2, 95.0), (0.5, 80.0), (0.4, 80.0), (0.4, 70.0), (0.0, 100.0), (0.3, 95.0)]
    assert pareto_front(points) == [(0.0, 100.0), (0.3, 95.0), (0.5, 80.0)]
    assert pareto_front([]) == []


def test_published_points_are_table_1_of_the_paper():
    caption = {point.model: (point.score, point.reduction) for point in published_points("caption")}
    assert caption["MuE"] == (137.0, 0.402) and caption["DeeCap"] == (129.0, 0.38) and caption["PABEE"] == (105.8, 0.163)
    entailment = {point.model: (point.score, point.reduction) for point in published_points("entailment")}
    assert entailment["MuE"] == (88.5, 0.50) and entailment["DeeBERT"] == (78.8, 0.15) and "DeeCap" not in entailment
    assert (published_full_score("caption"), published_full_score("entailment")) == (146.7, 89.2)
    assert len(PUBLISHED) == 11


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
    edges = np.array([(box.left, box.bottom, box.right, box.top, weight) for box, weight in obstacles])
    place = Box(2, 0, 8, 3)
    assert _covered(place, edges) == sum(weight * place.overlap(box) for box, weight in obstacles) == 2.0 * 6 + 8.0 * 5
    assert _covered(place, edges[:0]) == 0.0


def swept(seed: int, points: list[tuple[float, float]]) -> list[Entry]:
    """Return a sweep's entries: (expected reduction, score), relative to a full score of 100."""
    return [
        Entry("calm", seed, x, Record("r", "caption", "shapes", "test", "calm", seed, 9, "CIDEr", {"CIDEr": y}, {"expected": x}), 100.0)
        for x, y in points
    ]


def test_points_of_the_same_rank_are_averaged_over_seeds_whatever_order_they_came_in():
    (curve,) = curves([*swept(0, [(0.4, 60.0), (0.2, 90.0)]), *swept(1, [(0.3, 80.0), (0.5, 40.0)])], score)
    assert [point.x for point in curve.swept] == [Spread(25.0, 20.0, 30.0), Spread(45.0, 40.0, 50.0)]
    assert [point.y for point in curve.swept] == [Spread(85.0, 80.0, 90.0), Spread(50.0, 40.0, 60.0)]
    assert not curve.calibrated and curve.line == curve.swept


def test_sweeps_of_unequal_length_are_averaged_between_the_same_ends():
    long, short = swept(0, [(0.1, 99.0), (0.2, 90.0), (0.3, 70.0)]), swept(1, [(0.1, 97.0), (0.3, 50.0)])
    (curve,) = curves([*long, *short], score)
    assert [(round(point.x.mean, 6), point.y.mean) for point in curve.swept] == [(10.0, 98.0), (30.0, 60.0)]


def test_entries_without_the_value_make_no_curve():
    assert curves(swept(0, [(0.1, 1.0)]), lambda entry: None) == []
    assert expected(swept(0, [(0.25, 1.0)])[0]) == 25.0
