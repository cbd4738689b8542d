"""What is said about a scene: captions, and hypotheses with their labels.

Hypotheses have three forms. Form, label and words are drawn first, without regard to each other,
and a scene that fits them is sought; so a text says nothing about its label, and the picture must
be looked at. Who sees only whether there is a curtain, and answers maybe or no accordingly, is
right two times in three; more than that needs both the picture and the text.

    form     text                    entailment    contradiction            neutral colour   there
is something red  one shows     none does, no curtain    none does, but a curtain may hide one shape
there is a circle       the same kind     there is a red circle   the same
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

from mue_cli.data.sources.scenes import SHAPES, SIDES, Kind, Scene, Thing, draw_kind
from mue_cli.data.tasks.visual_entailment import CONTRADICTED, ENTAILED, NEUTRAL

AT_SIDE = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
FORMS = {"colour": 5, "shape": 3, "kind": 2}  # by weight: what is simple comes often
NUM_CAPTIONS = 5
CURTAIN_WORDS = "beside a white curtain"


@dataclass(frozen=True)
class Slot:
    """What a pair must be before its scene is known. curtain: a side or None."""

    form: str
    label: str
    curtain: str | None


@dataclass(frozen=True)
class Hypothesis:
    """A sentence of a form about a colour, a shape, or both."""

    form: str
    colour: str
    shape: str

    @property
    def text(self) -> str:
        what = {
            "colour": f"something {self.colour}",
            "shape": f"a {self.shape}",
            "kind": f"a {self.colour} {self.shape}",
        }
        return f"there is {what[self.form]}"

    def is_among(self, kinds: Collection[Kind]) -> bool:
        """Whether one of the kinds is what it speaks of."""
        if self.form == "colour":
            return any(colour == self.colour for colour, _ in kinds)
        if self.form == "shape":
            return any(shape == self.shape for _, shape in kinds)
        return (self.colour, self.shape) in kinds


def captions(scene: Scene, rng: random.Random) -> tuple[str, ...]:
    """Return five captions that tell the same things in different grammar; at most 15 words, lower
    case, no punctuation.
    """
    styles = (_captions_of_one, _captions_of_two, _captions_of_three)[len(scene.things) - 1](
        *scene.things
    )
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
    return (
        f"at the {('top', '', 'bottom')[thing.row]} {('left', '', 'right')[thing.column]}".rstrip()
    )


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
    relation, inverse = (
        ("left of", "right of") if first.column != second.column else ("above", "below")
    )
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
    return f"{shape}s"


def deck(curtain: str | None) -> list[Slot]:
    """Return the slots for scenes with this curtain.

    The deck without a curtain and those of the four sides together hold every form equally often
    with each of the three labels.
    """
    counts = {ENTAILED: 12, CONTRADICTED: 24} if curtain is None else {ENTAILED: 3, NEUTRAL: 6}
    return [
        Slot(form, label, curtain)
        for form, weight in FORMS.items()
        for label, count in counts.items()
        for _ in range(weight * count)
    ]


def deal(num_scenes: int, pairs_per_scene: int, rng: random.Random) -> list[tuple[Slot, ...]]:
    """Deal each scene its slots, all different in kind where possible, from as many decks as it
    takes.
    """
    decks = [deck(curtain) for curtain in (None, *SIDES)]
    rounds = 1 + num_scenes * pairs_per_scene // sum(len(slots) for slots in decks)
    rounds += -rounds % pairs_per_scene  # so that every deck comes out even
    hands: list[tuple[Slot, ...]] = []
    for slots in decks:
        ordered = [slot for slot in slots for _ in range(rounds)]
        num_hands = len(ordered) // pairs_per_scene
        hands += [tuple(ordered[hand::num_hands]) for hand in range(num_hands)]
    start = rng.random()
    evenly = [
        hands[int((number + start) * len(hands) / num_scenes)] for number in range(num_scenes)
    ]  # so that labels stay balanced
    return rng.sample(evenly, num_scenes)


def hypotheses(slots: tuple[Slot, ...], rng: random.Random) -> tuple[Hypothesis, ...]:
    """Draw a hypothesis for each slot, all different, whatever their labels, but none that denies
    what another asserts.
    """
    while True:
        drawn = tuple(Hypothesis(slot.form, *draw_kind(rng)) for slot in slots)
        asserted = [
            (each.colour, each.shape)
            for slot, each in zip(slots, drawn, strict=True)
            if (slot.form, slot.label) == ("kind", ENTAILED)
        ]
        denied = [each for slot, each in zip(slots, drawn, strict=True) if slot.label != ENTAILED]
        if len({each.text for each in drawn}) == len(drawn) and not any(
            each.is_among(asserted) for each in denied
        ):
            return drawn


def fits(kinds: tuple[Kind, ...], slots: tuple[Slot, ...], drawn: tuple[Hypothesis, ...]) -> bool:
    """Whether every hypothesis has its slot's label in a scene of these kinds, under the slots'
    curtain.
    """
    for slot, each in zip(slots, drawn, strict=True):
        if each.is_among(kinds) != (slot.label == ENTAILED):
            return False
    return True
