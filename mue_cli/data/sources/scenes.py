"""Scenes of coloured shapes: what is in one, and how it is drawn.

A picture is a grid of 3 x 3 cells with one to three things, each in its own cell, or a close-up of
a single huge one. A white curtain may cover one side of the grid: what is behind it cannot be
known, so nothing is ever drawn there.

Three choices make the scenes learnable in minutes from a random start. The wall is mid-grey, which
preprocessing turns into zero, so that things stand out from the first step. Close-ups are
understood first, and what is learned on them carries over to small things. Some colours and shapes
are common and others rare, as in any language: a model that can match the common words soon learns
the others.
"""

import hashlib
import math
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (232, 24, 24),
    "green": (24, 190, 48),
    "blue": (24, 56, 232),
    "yellow": (243, 219, 24),
    "black": (16, 16, 16),
}
WEIGHTS = (
    1.0,
    0.5,
    0.25,
    0.125,
    0.0625,
)  # how often each colour and each shape, in their order, comes up
COUNTS = {1: 14, 2: 5, 3: 1}  # how many things, by weight
_COLOUR_NAMES, _COUNTS = tuple(COLOURS), tuple(COUNTS)
_WEIGHT_SUMS, _COUNT_SUMS = tuple(accumulate(WEIGHTS)), tuple(accumulate(COUNTS.values()))
CLOSE_UPS = 0.6  # of the scenes with one thing
RADII = {"huge": 0.42, "big": 0.16, "small": 0.11}  # of the picture's side
CURTAINED_RADIUS = 0.30  # the most that fits beside a curtain
SIDES = ("left", "right", "top", "bottom")
CELL_CENTRES = (0.18, 0.5, 0.82)
FREE_CELL = {
    None: (1, 1),
    "left": (1, 2),
    "right": (1, 0),
    "top": (2, 1),
    "bottom": (0, 1),
}  # where a close-up has most room
SUPERSAMPLING = 4
EXTENT = 1.1

T = TypeVar("T")
Kind = tuple[str, str]  # colour, shape


@dataclass(frozen=True)
class Thing:
    """One shape. row 0 is the top, column 0 the left."""

    shape: str
    colour: str
    size: str
    row: int
    column: int

    @property
    def kind(self) -> Kind:
        """What tells it from the others of its scene."""
        return self.colour, self.shape

    def is_at(self, side: str) -> bool:
        return _on_side(self.row, self.column, side)


@dataclass(frozen=True)
class Scene:
    """Things sorted by column, then row, no two of one kind. curtain: the covered side, or None."""

    things: tuple[Thing, ...]
    curtain: str | None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(thing.kind for thing in self.things)

    @property
    def split(self) -> str:
        """The only split this scene may appear in: a fixed tenth of all scenes is for val, another
        for test.
        """
        return {0: "val", 1: "test"}.get(
            hashlib.sha256(repr(self).encode()).digest()[0] % 10, "train"
        )


def draw_kind(rng: random.Random) -> Kind:
    """Draw a colour and a shape, the first ones of their lists most often."""
    return _draw(_COLOUR_NAMES, _WEIGHT_SUMS, rng), _draw(SHAPES, _WEIGHT_SUMS, rng)


def _draw(values: Sequence[T], sums: Sequence[float], rng: random.Random) -> T:
    """Draw as `rng.choices` does, which would add up the weights each time: hundreds of thousands
    of times in a dataset.
    """
    last = len(values) - 1
    return values[bisect(sums, rng.random() * sums[last], 0, last)]


def sample_kinds(rng: random.Random) -> tuple[Kind, ...]:
    """Draw what a scene shows: one to three different kinds."""
    count = _draw(_COUNTS, _COUNT_SUMS, rng)
    kinds: dict[Kind, None] = {}
    while len(kinds) < count:
        kinds[draw_kind(rng)] = None
    return tuple(kinds)


def place(kinds: tuple[Kind, ...], curtain: str | None, rng: random.Random) -> Scene:
    """Make a scene of these kinds: a close-up, or things in cells that the curtain leaves free."""
    if len(kinds) == 1 and rng.random() < CLOSE_UPS:
        (colour, shape), (row, column) = kinds[0], FREE_CELL[curtain]
        return Scene((Thing(shape, colour, "huge", row, column),), curtain)
    cells = [
        (row, column)
        for row in range(3)
        for column in range(3)
        if curtain is None or not _on_side(row, column, curtain)
    ]
    places = sorted(rng.sample(cells, len(kinds)), key=lambda cell: (cell[1], cell[0]))
    things = (
        Thing(shape, colour, rng.choice(("big", "small")), row, column)
        for (colour, shape), (row, column) in zip(kinds, places, strict=True)
    )
    return Scene(tuple(things), curtain)


def draw_scene(scene: Scene, rng: random.Random, size: int = 64) -> Image.Image:
    """Return an RGB picture of `size` x `size` pixels. `rng` shifts, turns and tints a little; it
    changes nothing that captions say.
    """
    image = _background(rng, size)
    for thing in scene.things:
        _draw_thing(image, thing, scene.curtain, rng)
    if scene.curtain is not None:
        _draw_curtain(image, scene.curtain, rng)
    return image


def _on_side(row: int, column: int, side: str) -> bool:
    return {"left": column == 0, "right": column == 2, "top": row == 0, "bottom": row == 2}[side]


def _background(rng: random.Random, size: int) -> Image.Image:
    """A grey that changes a little from corner to corner."""
    tint = [rng.randint(122, 134) for _ in range(3)]
    corners = Image.new("RGB", (2, 2))
    corners.putdata([tuple(value + rng.randint(-5, 5) for value in tint) for _ in range(4)])
    return corners.resize((size, size), Image.Resampling.BILINEAR)


def _draw_thing(image: Image.Image, thing: Thing, curtain: str | None, rng: random.Random) -> None:
    side = image.width
    radius = side * (min(RADII[thing.size], CURTAINED_RADIUS) if curtain else RADII[thing.size])
    margin = min(EXTENT * radius, side / 2)
    x, y = (
        min(max(side * (CELL_CENTRES[cell] + rng.uniform(-0.02, 0.02)), margin), side - margin)
        for cell in (thing.column, thing.row)
    )
    left, top = math.floor(x - radius) - 1, math.floor(y - radius) - 1
    width = math.ceil(2 * radius) + 3
    mask = Image.new("L", (width * SUPERSAMPLING, width * SUPERSAMPLING))
    _fill(
        ImageDraw.Draw(mask),
        thing.shape,
        (x - left) * SUPERSAMPLING,
        (y - top) * SUPERSAMPLING,
        radius * SUPERSAMPLING,
        rng.uniform(-0.2, 0.2),
    )
    colour = tuple(
        min(255, max(0, value + rng.randint(-12, 12))) for value in COLOURS[thing.colour]
    )
    image.paste(colour, (left, top), mask.reduce(SUPERSAMPLING))


def _fill(
    draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: float, turn: float
) -> None:
    """Fill `shape` around (x, y), turned by `turn` radians. Radii differ, up to EXTENT, so that all
    shapes look about equally large.
    """
    if shape == "circle":
        draw.ellipse(
            (x - 0.9 * radius, y - 0.9 * radius, x + 0.9 * radius, y + 0.9 * radius), fill=255
        )
    elif shape == "square":
        draw.polygon(_polygon(x, y, [EXTENT * radius] * 4, turn + math.pi / 4), fill=255)
    elif shape == "triangle":
        draw.polygon(_polygon(x, y + 0.15 * radius, [EXTENT * radius] * 3, turn), fill=255)
    else:
        draw.polygon(_polygon(x, y, [EXTENT * radius, 0.45 * radius] * 5, turn), fill=255)


def _polygon(x: float, y: float, radii: list[float], turn: float) -> list[tuple[float, float]]:
    """Corners at the given distances, the first one straight up."""
    step = 2 * math.pi / len(radii)
    return [
        (x + r * math.sin(turn + i * step), y - r * math.cos(turn + i * step))
        for i, r in enumerate(radii)
    ]


def _draw_curtain(image: Image.Image, side: str, rng: random.Random) -> None:
    """White folds over a third of the picture, less a little play."""
    width = round(image.width * rng.uniform(0.30, 0.33))
    fold = max(2, round(image.width * rng.uniform(0.045, 0.065)))
    panel = Image.new("RGB", (image.width, image.height))
    draw = ImageDraw.Draw(panel)
    for index, start in enumerate(range(0, image.width, fold)):
        white = (240 if index % 2 else 212) + rng.randint(-5, 5)
        draw.rectangle((start, 0, start + fold - 1, image.height), fill=(white, white, white))
    far = image.width - width
    box = {
        "left": (0, 0, width, image.height),
        "right": (far, 0, image.width, image.height),
        "top": (0, 0, image.width, width),
        "bottom": (0, far, image.width, image.height),
    }[side]
    image.paste(panel.crop(box), box[:2])
