"""The heat map of exit layers: what it holds, comes back as it was saved, and what is drawn."""

import numpy as np
import pytest

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.exit_grid import ExitGrid
from mue_cli.reports.figures.exit_grid import exit_grid, exit_grid_figure

SCORES = np.array([[10.0, 20.0, 30.0], [25.0, 50.0, 60.0], [30.0, 70.0, 80.0]])
ABOUT = {
    "recipe": "shapes-caption",
    "dataset": "shapes",
    "split": "val",
    "settings": "beam 5, float32",
}
GRID = ExitGrid(SCORES, "CIDEr", 1200, ABOUT)


def test_layers_are_counted_from_1_and_the_image_comes_first():
    assert (GRID.score(1, 3), GRID.score(2, 1), GRID.full_score, GRID.num_layers) == (
        30.0,
        25.0,
        80.0,
        3,
    )


def test_reduction_of_a_pair_is_eq_14_with_a_decoder_that_saves_nothing():
    assert GRID.reduction(3, 3) == 0.0
    assert GRID.reduction(1, 2) == pytest.approx(1 - (1.5 / 3 + 1) / 2)


def test_the_best_pair_of_each_reduction_takes_the_shallower_image_of_two_equal_ones():
    equal = ExitGrid(np.array([[1.0, 5.0], [5.0, 9.0]]), "accuracy", 3, {})
    assert equal.best_pairs() == [(1, 1), (1, 2), (2, 2)]
    assert GRID.best_pairs() == [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]


def test_grid_comes_back_as_it_was_saved(tmp_path):
    GRID.save(tmp_path / "run" / "modality.npz")
    found = ExitGrid.load(tmp_path / "run" / "modality.npz")
    assert np.array_equal(found.scores, SCORES)
    assert (found.metric, found.num_samples, found.about) == ("CIDEr", 1200, ABOUT)


def test_grid_that_is_absent_or_another_file_is_an_error_with_its_name(tmp_path):
    with pytest.raises(MissingStepError, match=r"nothing\.npz is absent") as error:
        ExitGrid.load(tmp_path / "nothing.npz")
    assert error.value.hint == "`mue plot modality` measures them"
    (tmp_path / "text.npz").write_text("words")
    np.savez(tmp_path / "other.npz", scores=np.zeros((2, 2)))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(DataError, match=rf"{name} holds no scores per pair of exit layers"):
            ExitGrid.load(tmp_path / name)
    with pytest.raises(ValueError, match="image layers by text layers"):
        ExitGrid(np.zeros((2, 3)), "CIDEr", 1, {})


def test_every_cell_has_its_score_and_its_reduction():
    figure = exit_grid_figure(GRID)
    axes = figure.axes[0]
    cells = {
        (round(text.get_position()[1]), round(text.get_position()[0]), text.get_text())
        for text in axes.texts
    }
    assert len(cells) == 18
    assert {
        (1, 3, "30.0"),
        (3, 1, "30.0"),
        (2, 1, "25.0"),
        (2, 1, "25.0 %"),
        (1, 1, "33.3 %"),
        (3, 3, "0.0 %"),
    } <= cells
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("text layers", "image layers")


def test_a_cells_colour_is_that_of_its_score_and_its_text_can_be_read_on_it():
    axes = exit_grid_figure(GRID).axes[0]
    image = axes.images[0]
    assert image.get_cmap().name == "cividis" and image.origin == "lower"
    assert np.array_equal(image.get_array(), SCORES)
    inks = {text.get_text(): text.get_color() for text in axes.texts}
    assert inks["10.0"] == "#ffffff" and inks["80.0"] == "#000000"


def test_the_best_cells_are_framed():
    frames = {
        (round(p.get_y() + p.get_height() / 2), round(p.get_x() + p.get_width() / 2))
        for p in exit_grid_figure(GRID).axes[0].patches
    }
    assert frames == set(GRID.best_pairs())


def test_the_caption_says_data_samples_and_settings():
    caption = exit_grid_figure(GRID).texts[0].get_text().replace("\n", " ")
    assert "shapes val, 1,200 samples (beam 5, float32), the decoder at full depth." in caption


def test_scores_that_are_all_the_same_can_be_drawn():
    assert exit_grid_figure(ExitGrid(np.zeros((2, 2)), "accuracy", 1, {}))


@pytest.mark.parametrize(
    "scores",
    [SCORES, np.linspace(79.0, 81.0, 36).reshape(6, 6)],
    ids=["far apart", "close together"],
)
def test_nothing_is_cut_off(scores):
    figure = exit_grid_figure(ExitGrid(scores, "accuracy", 1200, ABOUT))
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert (
        box.x0 >= 0
        and box.y0 >= 0
        and box.x1 <= figure.get_figwidth()
        and box.y1 <= figure.get_figheight()
    )


def test_png_and_svg_are_written(tmp_path):
    png, svg = exit_grid(GRID, tmp_path / "plots" / "modality")
    assert png.stat().st_size > 10_000 and svg.read_text().rstrip().endswith("</svg>")
