"""Where samples and words leave: shares, means, and the words of each decoding step."""

import numpy as np
import pytest
from figure_reading import lines, texts

from mue_cli.reports.exits import Exits
from mue_cli.reports.figures.exits import exits, exits_figure

CAPTIONS = Exits(
    {"image": [2, 3, 3, 4], "text": [1, 1, 1, 1]},
    [(1, 2), (3, 2, 4), (2,), (2, 2)],
    4,
    5,
    "mue on shapes test",
)
ANSWERS = Exits({"joint": [2, 4]}, [(1,), (3,)], 4, 4, "mue on shapes test")


def bars(axes):
    return [patch.get_height() for patch in axes.patches]


def test_shares_are_of_all_samples_and_of_all_words():
    assert CAPTIONS.shares("image").tolist() == [0.0, 0.25, 0.5, 0.25]
    assert CAPTIONS.shares("decoder").tolist() == [0.125, 0.625, 0.125, 0.125, 0.0]


def test_words_of_a_step_have_a_mean_and_a_95_percent_interval():
    first, second, third = CAPTIONS.positions()
    assert (first.step, first.num_words, first.mean) == (1, 4, 2.0)  # of 1, 3, 2, 2
    assert (first.low, first.high) == (
        pytest.approx(2.0 - 1.96 * (2 / 3) ** 0.5 / 2),
        pytest.approx(2.0 + 1.96 * (2 / 3) ** 0.5 / 2),
    )
    assert (second.num_words, second.mean, second.low, second.high) == (3, 2.0, 2.0, 2.0)
    assert (third.num_words, third.mean, third.low, third.high) == (1, 4.0, 4.0, 4.0)


def test_each_stream_has_a_bar_per_layer_its_mean_and_its_count():
    image, text, decoder, _ = exits_figure(CAPTIONS).axes
    assert bars(image) == [0.0, 25.0, 50.0, 25.0] and bars(text) == [100.0, 0.0, 0.0, 0.0]
    assert bars(decoder) == [12.5, 62.5, 12.5, 12.5, 0.0]
    assert [axes.get_title() for axes in (image, text, decoder)] == [
        "image (4 samples)",
        "text (4 samples)",
        "decoder (8 words)",
    ]
    assert lines(image)["mean"] == [[3.0, 0.0], [3.0, 1.0]] and "mean 2.25" in texts(decoder.figure)


def test_panels_of_shares_have_one_scale():
    assert len({axes.get_ylim() for axes in exits_figure(CAPTIONS).axes[:3]}) == 1


def test_the_exit_by_position_is_drawn_with_the_number_of_words():
    position = exits_figure(CAPTIONS).axes[3]
    assert lines(position)["mean exit layer"] == [[1.0, 2.0], [2.0, 2.0], [3.0, 4.0]]
    band = position.collections[0].get_paths()[0].vertices
    at_first = band[np.isclose(band[:, 0], 1.0), 1]
    assert at_first.max() == pytest.approx(2.8, abs=1e-3)
    assert bars(position.child_axes[0]) == [4, 3, 1]


def test_answers_are_no_words_and_have_no_position():
    figure = exits_figure(ANSWERS)
    assert [axes.get_title() for axes in figure.axes] == [
        "joint (2 samples)",
        "decoder (2 answers)",
    ]
    assert "position" not in texts(figure) and "mue on shapes test." in texts(figure)


def test_png_and_svg_are_written(tmp_path):
    png, svg = exits(CAPTIONS, tmp_path / "plots" / "exits")
    assert png.stat().st_size > 10_000 and svg.read_text().rstrip().endswith("</svg>")
