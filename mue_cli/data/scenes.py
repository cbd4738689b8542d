"""Scenes of coloured shapes: what is in one, and how it is drawn.

A picture is a grid of 3 x 3 cells with one to three things, each in its own cell. A grey curtain may cover one side of the grid: what is
behind it cannot be known, so nothing is ever drawn there.
"""

import hashlib
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (222, 36, 36),
    "green": (36, 160, 60),
    "blue": (40, 84, 224),
    "yellow": (244, 202, 24),
    "purple": (158, 48, 196),
    "black": (28, 28, 28),
}
RADII = {"big": 0.155, "small": 0.105}  # of the picture's side
SIDES = ("left", "right", "top", "bottom")
CELL_CENTRES = (0.18, 0.5, 0.82)
SUPERSAMPLING = 4


@dataclass(frozen=True)
class Thing:
    """One shape. row 0 is the top, column 0 the left."""

    shape: str
    colour: str
    size: str
    row: int
    column: int

    @property
    def kind(self) -> tuple[str, str]:
        """What tells it from the others of its scene: (colour, shape)."""
        return self.colour, self.shape

    def is_at(self, side: str) -> bool:
        return _on_side(self.row, self.column, side)


@dataclass(frozen=True)
class Scene:
    """things: sorted by column, then row; no two of one kind. curtain: the covered side, or None."""

    things: tuple[Thing, ...]
    curtain: str | None

    @property
    def split(self) -> str:
        """The only split this scene may appear in: a fixed tenth of all scenes is for val, another for test."""
        return {0: "val", 1: "test"}.get(hashlib.sha256(repr(self).encode()).digest()[0] % 10, "train")


def sample_scene(rng: random.Random, curtain: str | None) -> Scene:
    """Draw one to three things in the cells that the curtain leaves free. All colours, shapes and sizes are equally likely."""
    cells = [(row, column) for row in range(3) for column in range(3) if curtain is None or not _on_side(row, column, curtain)]
    count = rng.choice((1, 2, 2, 3))
    kinds = rng.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], count)
    places = sorted(rng.sample(cells, count), key=lambda cell: (cell[1], cell[0]))
    things = (
        Thing(shape, colour, rng.choice(tuple(RADII)), row, column) for (colour, shape), (row, column) in zip(kinds, places, strict=True)
    )
    return Scene(tuple(things), curtain)


def draw_scene(scene: Scene, rng: random.Random, size: int = 64) -> Image.Image:
    """Return an RGB picture of `size` x `size` pixels. `rng` shifts, turns and tints a little; it changes nothing that is told."""
    image = _background(rng, size)
    for thing in scene.things:
        _draw_thing(image, thing, rng)
    if scene.curtain is not None:
        _draw_curtain(image, scene.curtain, rng)
    return image


def _on_side(row: int, column: int, side: str) -> bool:
    return {"left": column == 0, "right": column == 2, "top": row == 0, "bottom": row == 2}[side]


def _background(rng: random.Random, size: int) -> Image.Image:
    """A light tint that changes from corner to corner."""
    tint = [rng.randint(222, 244) for _ in range(3)]
    corners = Image.new("RGB", (2, 2))
    corners.putdata([tuple(value + rng.randint(-10, 10) for value in tint) for _ in range(4)])
    return corners.resize((size, size), Image.Resampling.BILINEAR)


def _draw_thing(image: Image.Image, thing: Thing, rng: random.Random) -> None:
    side = image.width
    x, y = (side * (CELL_CENTRES[cell] + rng.uniform(-0.02, 0.02)) for cell in (thing.column, thing.row))
    radius = side * RADII[thing.size]
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
    colour = tuple(min(255, max(0, value + rng.randint(-12, 12))) for value in COLOURS[thing.colour])
    image.paste(colour, (left, top), mask.reduce(SUPERSAMPLING))


def _fill(draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: float, turn: float) -> None:
    """Fill `shape` around (x, y), turned by `turn` radians. Radii differ so that all shapes look about equally large."""
    if shape == "circle":
        draw.ellipse((x - 0.9 * radius, y - 0.9 * radius, x + 0.9 * radius, y + 0.9 * radius), fill=255)
    elif shape == "square":
        draw.polygon(_polygon(x, y, [1.1 * radius] * 4, turn + math.pi / 4), fill=255)
    elif shape == "triangle":
        draw.polygon(_polygon(x, y + 0.15 * radius, [1.1 * radius] * 3, turn), fill=255)
    elif shape == "star":
        draw.polygon(_polygon(x, y, [1.1 * radius, 0.45 * radius] * 5, turn), fill=255)
    else:
        for quarter in (0.0, math.pi / 2):
            draw.polygon(_bar(x, y, radius, 0.33 * radius, turn + quarter), fill=255)


def _polygon(x: float, y: float, radii: list[float], turn: float) -> list[tuple[float, float]]:
    """Corners at the given distances, the first one straight up."""
    step = 2 * math.pi / len(radii)
    return [(x + r * math.sin(turn + i * step), y - r * math.cos(turn + i * step)) for i, r in enumerate(radii)]


def _bar(x: float, y: float, half_length: float, half_width: float, turn: float) -> list[tuple[float, float]]:
    sin, cos = math.sin(turn), math.cos(turn)
    corners = ((half_length, half_width), (half_length, -half_width), (-half_length, -half_width), (-half_length, half_width))
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners]


def _draw_curtain(image: Image.Image, side: str, rng: random.Random) -> None:
    """Grey folds over a third of the picture, less a little play."""
    width = round(image.width * rng.uniform(0.30, 0.33))
    fold = max(2, round(image.width * rng.uniform(0.045, 0.065)))
    panel = Image.new("RGB", (image.width, image.height))
    draw = ImageDraw.Draw(panel)
    for index, start in enumerate(range(0, image.width, fold)):
        grey = (150 if index % 2 else 124) + rng.randint(-5, 5)
        draw.rectangle((start, 0, start + fold - 1, image.height), fill=(grey, grey, grey))
    far = image.width - width
    box = {
        "left": (0, 0, width, image.height),
        "right": (far, 0, image.width, image.height),
        "top": (0, 0, image.width, width),
        "bottom": (0, far, image.width, image.height),
    }[side]
    image.paste(panel.crop(box), box[:2])
