"""Stacked bars: what is drawn is what was measured, and it can be read."""

import pytest
from PIL import Image

from mue_cli.reports.figures.bars import breakdown, breakdown_figure

BARS = {
    "full": {"ResNet": 30.0, "encoder, image": 50.0, "decoder": 19.0, "rest": 1.0},
    "mue": {"ResNet": 30.0, "encoder, image": 25.0, "decoder": 10.0, "rule": 0.5, "rest": 1.5},
}


def pieces(figure):
    """Return each bar's pieces, (start, width) from left to right."""
    found: dict[int, list[tuple[float, float]]] = {}
    for patch in figure.axes[0].patches:
        found.setdefault(round(patch.get_y() + patch.get_height() / 2), []).append(
            (patch.get_x(), patch.get_width())
        )
    return [sorted(found[place]) for place in sorted(found)]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_pieces_lie_end_to_end_in_their_order():
    for bar, parts in zip(pieces(breakdown_figure(BARS, "About.")), BARS.values(), strict=True):
        assert [width for _, width in bar] == pytest.approx(list(parts.values()))
        assert [start for start, _ in bar] == pytest.approx(
            [sum(list(parts.values())[:i]) for i in range(len(parts))]
        )


def test_wide_pieces_and_whole_bars_have_their_numbers_and_narrow_pieces_none():
    assert texts(breakdown_figure(BARS, "About.")) == [
        "30",
        "50",
        "19",
        "100",
        "full",
        "30",
        "25",
        "10",
        "67",
        "mue",
    ]


def test_the_key_names_every_piece_once_with_the_rest_last():
    legend = breakdown_figure(BARS, "About.").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "ResNet",
        "encoder, image",
        "decoder",
        "rule",
        "rest",
    ]


def test_a_part_that_has_no_colour_yet_is_drawn_all_the_same():
    figure = breakdown_figure({"full": {"ResNet": 3.0, "a new part": 2.0, "rest": 1.0}}, "About.")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "ResNet",
        "a new part",
        "rest",
    ]
    assert "6.00" in texts(figure)


def test_nothing_lies_outside_the_figure():
    figure = breakdown_figure(BARS | {"a method with a long name": BARS["mue"]}, "About. " * 60)
    figure.canvas.draw()
    frame = figure.bbox
    for artist in (
        *figure.texts,
        *figure.axes[0].texts,
        figure.axes[0].get_legend(),
        figure.axes[0].xaxis.label,
    ):
        box = artist.get_window_extent()
        assert (
            frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        )


def test_png_and_svg_are_written(tmp_path):
    png, svg = breakdown(BARS, "About.", tmp_path / "plots" / "bench")
    with Image.open(png) as image:
        assert image.width > 1000 and len(image.convert("RGB").getcolors(1 << 20)) > 20
    assert svg.read_text().lstrip().startswith("<?xml")
