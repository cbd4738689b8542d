"""What is said about a scene: captions, and hypotheses with their labels.

Hypotheses have five forms. Which form, side and label comes next is dealt from a balanced deck, and colours and shapes are drawn without
regard to the label; so a text says nothing about its label, and the picture must be looked at.

    form       text                           entailment   contradiction            neutral
    colour     there is a red shape           one shows    none does, no curtain    none does, but a curtain may hide one
    shape      there is a circle              the same
    kind       there is a red circle          the same
    attribute  the circle is red              it is        the only circle is blue  no circle shows; the curtain may hide one
    position   the red circle is on the left  it is        it is elsewhere          it does not show; the curtain may hide it there
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from mue_cli.data.scenes import COLOURS, SHAPES, SIDES, Scene, Thing

OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
AT_SIDE = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
EXISTENCE = ("colour", "shape", "kind")
NUM_CAPTIONS = 5
CURTAIN_WORDS = "beside a white curtain"


@dataclass(frozen=True)
class Slot:
    """What a pair must be before its scene is known. curtain, side: a side or None; only positions have a side."""

    form: str
    label: str
    curtain: str | None
    side: str | None = None


def captions(scene: Scene, rng: random.Random) -> tuple[str, ...]:
    """Return five captions that tell the same things in different grammar; at most 15 words, lower case, no punctuation."""
    styles = (_captions_of_one, _captions_of_two, _captions_of_three)[len(scene.things) - 1](*scene.things)
    chosen = rng.sample(styles, NUM_CAPTIONS)
    if scene.curtain is not None:
        chosen[-1] = f"{styles[0]} {CURTAIN_WORDS}"
    return tuple(chosen)


def _name(thing: Thing) -> str:
    return f"a {thing.colour} {thing.shape}"


def _sized(thing: Thing) -> str:
    return f"{thing.size} {thing.colour} {thing.shape}"


def _place(thing: Thing) -> str:
    if (thing.row, thing.column) == (1, 1):
        return "in the middle"
    if thing.row == 1:
        return AT_SIDE["left" if thing.column == 0 else "right"]
    return f"at the {('top', '', 'bottom')[thing.row]} {('left', '', 'right')[thing.column]}".rstrip()


def _captions_of_one(thing: Thing) -> list[str]:
    what, where = _sized(thing), _place(thing)
    return [
        f"a {what} {where}",
        f"there is a {what} {where}",
        f"one {what} {where}",
        f"a {what} is {where}",
        f"the picture shows a {what} {where}",
        f"a {what} {where} of the picture",
    ]


def _captions_of_two(first: Thing, second: Thing) -> list[str]:
    relation, inverse = ("left of", "right of") if first.column != second.column else ("above", "below")
    one, two = _name(first), _name(second)
    styles = [
        f"{one} {relation} {two}",
        f"there is {one} {relation} {two}",
        f"{one} is {relation} {two}",
        f"{two} {inverse} {one}",
        f"a {_sized(first)} {relation} a {_sized(second)}",
        f"{one} {_place(first)} and {two} {_place(second)}",
    ]
    if first.shape == second.shape:
        return [*styles, f"two {_plural(first.shape)} {one} {relation} {two}"]
    return [*styles, f"two shapes {one} and {two}"]


def _captions_of_three(*things: Thing) -> list[str]:
    one, two, three = (_name(thing) for thing in things)
    listed = f"{one} {two} and {three}"
    shapes = [thing.shape for thing in things]
    styles = [
        listed,
        f"there is {listed}",
        f"{one} and {two} and {three}",
        f"the picture shows {listed}",
        f"{one} {two} and {three} are in the picture",
    ]
    if len(set(shapes)) == 1:
        return [*styles, f"three {_plural(shapes[0])} {listed}"]
    twice = [shape for shape in SHAPES if shapes.count(shape) == 2]
    if twice:
        single = next(_name(thing) for thing in things if thing.shape != twice[0])
        return [*styles, f"two {_plural(twice[0])} and {single}"]
    return [*styles, f"three shapes {listed}"]


def _plural(shape: str) -> str:
    return f"{shape}es" if shape == "cross" else f"{shape}s"


def deck(curtain: str | None) -> list[Slot]:
    """Return the slots for scenes with this curtain.

    The deck without a curtain and those of the four sides together hold every form, and every form and side, equally often with each of
    the three labels: 24 slots a form and label.
    """
    if curtain is None:
        return [
            *[Slot(form, "entailment", None) for form in EXISTENCE] * 12,
            *[Slot(form, "contradiction", None) for form in EXISTENCE] * 24,
            *[Slot("attribute", label, None) for label in ("entailment", "contradiction")] * 12,
            *[Slot("position", label, None, side) for label in ("entailment", "contradiction") for side in SIDES] * 3,
        ]
    open_sides = [side for side in SIDES if side != curtain]
    half_hidden_sides = [side for side in open_sides if side != OPPOSITE[curtain]]  # the curtain's own side: what hides is surely there
    return [
        *[Slot(form, "entailment", curtain) for form in EXISTENCE] * 3,
        *[Slot(form, "neutral", curtain) for form in EXISTENCE] * 6,
        *[Slot("attribute", label, curtain) for label in ("entailment", "contradiction")] * 3,
        *[Slot("attribute", "neutral", curtain)] * 6,
        *[Slot("position", label, curtain, side) for label in ("entailment", "contradiction") for side in open_sides],
        *[Slot("position", "neutral", curtain, side) for side in half_hidden_sides] * 3,
    ]


def deal(num_scenes: int, pairs_per_scene: int, rng: random.Random) -> list[tuple[Slot, ...]]:
    """Deal each scene its slots, all different in kind where possible, from as many decks as it takes."""
    decks = [deck(curtain) for curtain in (None, *SIDES)]
    rounds = 1 + num_scenes * pairs_per_scene // sum(len(slots) for slots in decks)
    rounds += -rounds % pairs_per_scene  # so that every deck comes out even
    hands: list[tuple[Slot, ...]] = []
    for slots in decks:
        ordered = [slot for slot in slots for _ in range(rounds)]
        num_hands = len(ordered) // pairs_per_scene
        hands += [tuple(ordered[hand::num_hands]) for hand in range(num_hands)]
    return rng.sample(hands, num_scenes)


def hypotheses(scene: Scene, slots: tuple[Slot, ...], rng: random.Random) -> tuple[str, ...] | None:
    """Return one text for each slot, all different, or None when this scene does not allow it."""
    texts: list[str] = []
    for slot in slots:
        text = _FORMS[slot.form](scene, slot, rng)
        if text is None or text in texts:
            return None
        texts.append(text)
    return tuple(texts)


def _colour(scene: Scene, slot: Slot, rng: random.Random) -> str:
    shown = {thing.colour for thing in scene.things}
    return f"there is a {_word(COLOURS, shown, slot, rng)} shape"


def _shape(scene: Scene, slot: Slot, rng: random.Random) -> str:
    shown = {thing.shape for thing in scene.things}
    return f"there is a {_word(SHAPES, shown, slot, rng)}"


def _word(words: Iterable[str], shown: set[str], slot: Slot, rng: random.Random) -> str:
    """A word for what shows when it must be entailed, for what does not otherwise."""
    return rng.choice([word for word in words if (word in shown) == (slot.label == "entailment")])


def _kind(scene: Scene, slot: Slot, rng: random.Random) -> str:
    colour, shape = rng.choice(scene.things).kind if slot.label == "entailment" else _absent_kind(scene, rng)
    return f"there is a {colour} {shape}"


def _attribute(scene: Scene, slot: Slot, rng: random.Random) -> str | None:
    shapes = [thing.shape for thing in scene.things]
    if slot.label == "neutral":
        shape = rng.choice([shape for shape in SHAPES if shape not in shapes])
        return f"the {shape} is {rng.choice(tuple(COLOURS))}"
    single = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    colour = thing.colour if slot.label == "entailment" else _other_colour(scene, thing.colour, rng)
    return f"the {thing.shape} is {colour}"


def _position(scene: Scene, slot: Slot, rng: random.Random) -> str | None:
    assert slot.side is not None
    if slot.label == "neutral":
        colour, shape = _absent_kind(scene, rng)
    else:
        fitting = [thing.kind for thing in scene.things if thing.is_at(slot.side) == (slot.label == "entailment")]
        if not fitting:
            return None
        colour, shape = rng.choice(fitting)
    return f"the {colour} {shape} is {AT_SIDE[slot.side]}"


_FORMS = {"colour": _colour, "shape": _shape, "kind": _kind, "attribute": _attribute, "position": _position}


def _absent_kind(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A kind that does not show; half the time its colour or its shape does."""
    present = [thing.kind for thing in scene.things]
    absent = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in present]
    if rng.random() < 0.5:
        seen = {word for kind in present for word in kind}
        absent = [kind for kind in absent if seen.intersection(kind)]
    return rng.choice(absent)


def _other_colour(scene: Scene, colour: str, rng: random.Random) -> str:
    """A wrong colour; half the time that of another thing, where there is one."""
    others = [thing.colour for thing in scene.things if thing.colour != colour]
    if others and rng.random() < 0.5:
        return rng.choice(others)
    return rng.choice([other for other in COLOURS if other != colour])
