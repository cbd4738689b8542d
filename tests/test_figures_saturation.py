"""Saturation: what is drawn is what was measured."""

import numpy as np
import pytest
from figure_reading import lines, texts

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.figures.saturation import saturation_figure
from mue_cli.reports.saturation import Saturation

SATURATION = Saturation(
    {
        "decoder": np.array([[0.5, 0.9], [0.7, 1.0]]),
        "image": np.tile(np.linspace(0.2, 0.8, 11)[:, None], (1, 4)),
    },
    {"recipe": "shapes-caption", "split": "test"},
)


def test_saturation_draws_the_mean_and_the_band_of_each_stream():
    image, decoder = saturation_figure(SATURATION).axes
    assert lines(decoder)["decoder"] == [[1.0, pytest.approx(0.6)], [2.0, pytest.approx(0.95)]]
    assert lines(image)["image"] == [[layer, pytest.approx(0.5)] for layer in (1, 2, 3, 4)]
    band = image.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(0.26), pytest.approx(0.74))
    assert (
        image.get_title() == "image (11 samples)\nown share 69%"
        and decoder.get_title() == "decoder (2 decoding steps)\nown share 60%"
    )
    assert "test, no exits." in texts(image.figure)


def test_own_share_is_the_variance_between_rows_at_each_threshold():
    scores = np.random.default_rng(0).uniform(size=(30, 4))
    limits = np.percentile(scores, range(1, 100))
    exits = np.array(
        [[next((n for n in range(3) if row[n] > limit), 3) for row in scores] for limit in limits]
    )
    within = np.mean([np.var(row) for row in exits])
    measured = Saturation({"image": scores, "text": np.tile([0.1, 0.5, 0.9], (5, 1))}, {})
    assert measured.own_share("image") == pytest.approx(within / np.var(exits))
    assert 0.3 < measured.own_share("image") < 1.0
    assert measured.own_share("text") == 0.0, "all rows are alike"
    assert Saturation({"image": np.full((3, 2), np.nan)}, {}).own_share("image") == 0.0


def test_saturation_shows_thresholds_that_can_fire():
    image, decoder = saturation_figure(SATURATION, {"image": 0.75, "decoder": 1.5}).axes
    assert [text.get_text() for text in image.get_legend().get_texts()] == ["exit above 0.750"]
    assert decoder.get_legend() is None and len(decoder.get_lines()) == 1


def test_profile_comes_back_as_it_was_saved(tmp_path):
    path = tmp_path / "run" / "saturation.npz"
    SATURATION.save(path)
    loaded = Saturation.load(path)
    assert (
        loaded.about == SATURATION.about
        and loaded.exit_scores.keys() == SATURATION.exit_scores.keys()
    )
    assert np.array_equal(loaded.exit_scores["decoder"], SATURATION.exit_scores["decoder"])


def test_profile_that_is_absent_or_another_file_is_an_error_with_its_name(tmp_path):
    with pytest.raises(MissingStepError, match=r"nothing\.npz is absent"):
        Saturation.load(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("words")
    with pytest.raises(DataError, match=r"text\.npz holds no exit scores"):
        Saturation.load(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="rows by layers"):
        Saturation({"image": np.zeros(3)}, {})
