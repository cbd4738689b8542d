"""What a trade-off figure shows, and where its names go."""

import pytest

from mue_cli.reports.curves import pareto_front
from mue_cli.reports.labels import Box, around, place_labels
from mue_cli.reports.published import PUBLISHED, published_full_score, published_points


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


def test_a_label_stays_inside_the_frame():
    (box,) = place_labels([(98, 50)], [(20, 10)], [], Box(0, 0, 100, 100), gap=5)
    assert box.right <= 100


def test_overlap_of_two_boxes_is_their_common_area():
    assert Box(0, 0, 4, 4).overlap(Box(2, 3, 9, 9)) == pytest.approx(2.0)
    assert Box(0, 0, 1, 1).overlap(Box(1, 0, 2, 1)) == 0.0
    assert Box(0, 0, 4, 4).nearest(9, 2) == (4, 2)
