"""Scenes: what is in them, and that the picture shows it."""

import dataclasses
import itertools
import random
from collections import Counter

import numpy as np
import pytest

from mue_cli.data.sources.scenes import (
    CELL_CENTRES,
    COLOURS,
    SHAPES,
    SIDES,
    Scene,
    Thing,
    draw_kind,
    draw_scene,
    place,
    sample_kinds,
)

CURTAINS = (None, *SIDES)


def scenes(count, curtain=None, seed=0):
    rng = random.Random(seed)
    return [place(sample_kinds(rng), curtain, rng) for _ in range(count)]


def one(shape="circle", colour="red", size="big", row=1, column=1, curtain=None):
    return Scene((Thing(shape, colour, size, row, column),), curtain)


def pixels(scene, size=64, seed=0):
    return np.asarray(draw_scene(scene, random.Random(seed), size)).astype(int)


def coloured_area(picture, colour):
    return (np.abs(picture - np.array(COLOURS[colour])).max(axis=2) < 40).sum()


@pytest.mark.parametrize("curtain", CURTAINS)
def test_things_have_their_own_cells_and_kinds(curtain):
    for scene in scenes(200, curtain):
        assert len(scene.things) in (1, 2, 3)
        assert len({thing.kind for thing in scene.things}) == len(scene.things)
        assert len({(thing.row, thing.column) for thing in scene.things}) == len(scene.things)


@pytest.mark.parametrize("curtain", SIDES)
def test_nothing_is_behind_the_curtain(curtain):
    assert not any(thing.is_at(curtain) for scene in scenes(300, curtain) for thing in scene.things)


def test_things_are_sorted_from_left_to_right():
    for scene in scenes(200):
        places = [(thing.column, thing.row) for thing in scene.things]
        assert places == sorted(places)


def test_each_colour_and_shape_is_half_as_frequent_as_the_one_before():
    rng = random.Random(0)
    kinds = [draw_kind(rng) for _ in range(8000)]
    for part, names in ((0, tuple(COLOURS)), (1, SHAPES)):
        counted = Counter(kind[part] for kind in kinds)
        for common, rare in itertools.pairwise(names):
            assert counted[rare] / counted[common] == pytest.approx(0.5, rel=0.2)


def test_splits_take_eight_and_one_and_one_tenth():
    splits = Counter(scene.split for scene in set(scenes(5000)))
    total = splits.total()
    assert splits["train"] / total == pytest.approx(0.8, abs=0.03)
    assert splits["val"] / total == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("side", [(0, 0, "left"), (0, 2, "right"), (0, 1, "top"), (2, 1, "bottom")])
def test_side_is_where_the_cell_is(side):
    row, column, name = side
    assert Thing("circle", "red", "big", row, column).is_at(name)


def test_middle_is_at_no_side():
    assert not any(Thing("circle", "red", "big", 1, 1).is_at(side) for side in SIDES)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
def test_thing_is_drawn_in_its_colour_around_its_cells_centre(shape, colour):
    picture = pixels(one(shape, colour, row=0, column=2))
    rows, columns = np.nonzero(np.abs(picture - np.array(COLOURS[colour])).max(axis=2) < 40)
    assert rows.mean() / 64 == pytest.approx(CELL_CENTRES[0], abs=0.05)
    assert columns.mean() / 64 == pytest.approx(CELL_CENTRES[2], abs=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_can_be_told_apart(shape):
    huge, big, small = (
        coloured_area(pixels(one(shape, size=size)), "red") for size in ("huge", "big", "small")
    )
    assert huge > 3 * big
    assert big > 1.5 * small


def test_huge_things_are_alone():
    for scene in scenes(300) + scenes(300, "left"):
        assert len(scene.things) == 1 or all(
            thing.size in ("big", "small") for thing in scene.things
        )


@pytest.mark.parametrize("curtain", SIDES)
@pytest.mark.parametrize("shape", SHAPES)
def test_close_up_stays_clear_of_the_curtain(shape, curtain):
    rng = random.Random(0)
    scene = place(sample_kinds(rng), curtain, rng)
    while scene.things[0].size != "huge" or scene.things[0].shape != shape:
        scene = place(sample_kinds(rng), curtain, rng)
    colour = scene.things[0].colour
    alone = coloured_area(pixels(Scene(scene.things, None)), colour)
    assert alone > 0
    behind = Scene((dataclasses.replace(scene.things[0], size="small"),), curtain)
    assert coloured_area(pixels(scene), colour) > 2 * coloured_area(pixels(behind), colour)


def test_wall_is_grey_so_that_its_input_is_near_zero():
    picture = pixels(one())[:12, :12]
    assert np.abs(picture - 127.5).max() < 20


def test_edges_are_anti_aliased():
    picture = pixels(one("circle", "black"))
    between = (picture.max(axis=2) > 40) & (picture.max(axis=2) < 100)
    assert 10 < between.sum() < 150


@pytest.mark.parametrize("curtain", SIDES)
def test_curtain_covers_its_side_in_white(curtain):
    picture = pixels(Scene((Thing("circle", "red", "big", 1, 1),), curtain))
    strip = {
        "left": picture[:, :18],
        "right": picture[:, -18:],
        "top": picture[:18],
        "bottom": picture[-18:],
    }[curtain]
    assert (strip.max(axis=2) - strip.min(axis=2)).max() == 0
    assert 200 < strip.min() <= strip.max() <= 250


@pytest.mark.parametrize("size", [16, 64, 100])
def test_picture_has_the_asked_size(size):
    assert draw_scene(one(), random.Random(0), size).size == (size, size)


def test_same_seed_gives_the_same_pixels_and_another_seed_others():
    assert np.array_equal(pixels(one(), seed=3), pixels(one(), seed=3))
    assert not np.array_equal(pixels(one(), seed=3), pixels(one(), seed=4))
