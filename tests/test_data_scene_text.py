"""What is said about scenes: captions are true, labels are right, and texts say nothing about their labels."""

import random
from collections import Counter, defaultdict

import pytest

from mue_cli.data.scene_text import AT_SIDE, OPPOSITE, Slot, captions, deal, deck, hypotheses
from mue_cli.data.scenes import COLOURS, SHAPES, SIDES, Scene, Thing, sample_scene

CURTAINS = (None, *SIDES)
RED_CIRCLE = Thing("circle", "red", "big", 1, 0)
BLUE_STAR = Thing("star", "blue", "small", 0, 2)
GREEN_STAR = Thing("star", "green", "big", 2, 2)


def sampled_pairs(count, pairs, seed=0):
    """(scene, slot, text) of as many scenes as asked."""
    rng = random.Random(seed)
    found = []
    for slots in deal(count, pairs, rng):
        texts = None
        while texts is None:
            scene = sample_scene(rng, slots[0].curtain)
            texts = hypotheses(scene, slots, rng)
        found += [(scene, slot, text) for slot, text in zip(slots, texts, strict=True)]
    return found


def judged(scene, text):
    """The label by brute force: what holds in every way to fill the cells behind the curtain, in none, or in some."""
    hidden = [
        (row, column) for row in range(3) for column in range(3) if scene.curtain and Thing("", "", "", row, column).is_at(scene.curtain)
    ]
    outcomes = {_holds(scene.things, text)}
    for row, column in hidden:
        for colour in COLOURS:
            for shape in SHAPES:
                outcomes.add(_holds((*scene.things, Thing(shape, colour, "big", row, column)), text))
    outcomes.discard(None)
    return "neutral" if len(outcomes) > 1 else "entailment" if outcomes == {True} else "contradiction"


def _holds(things, text):
    """True or false of these things; None where the text speaks of something that is not there, or of two at once."""
    words = text.split()
    if words[0] == "there":
        named = {word for word in words[3:] if word != "shape"}
        return any(named <= set(thing.kind) for thing in things)
    if words[2] == "is":
        named = [thing for thing in things if thing.shape == words[1]]
        return named[0].colour == words[3] if len(named) == 1 else None
    named = [thing for thing in things if list(thing.kind) == words[1:3]]
    side = next(side for side in SIDES if text.endswith(AT_SIDE[side]))
    return named[0].is_at(side) if len(named) == 1 else None


def test_labels_are_what_brute_force_finds():
    pairs = sampled_pairs(150, 4)
    assert {slot.label for _, slot, _ in pairs} == {"entailment", "contradiction", "neutral"}
    wrong = [(scene, slot, text) for scene, slot, text in pairs if judged(scene, text) != slot.label]
    assert wrong == []


def test_decks_hold_every_form_and_side_with_each_label_equally_often():
    slots = [slot for curtain in CURTAINS for slot in deck(curtain)]
    counted = defaultdict(Counter)
    for slot in slots:
        counted[slot.form, slot.side][slot.label] += 1
    for counts in counted.values():
        assert len(set(counts.values())) == 1
        assert set(counts) == {"entailment", "contradiction", "neutral"}
    assert Counter(slot.form for slot in slots) == {"colour": 72, "shape": 72, "kind": 72, "attribute": 72, "position": 72}


def test_neutral_needs_a_curtain():
    assert all(slot.curtain for curtain in CURTAINS for slot in deck(curtain) if slot.label == "neutral")


@pytest.mark.parametrize("pairs", [1, 3, 6])
def test_each_scene_gets_its_slots_all_under_one_curtain(pairs):
    hands = deal(100, pairs, random.Random(0))
    assert len(hands) == 100
    assert all(len(hand) == pairs and len({slot.curtain for slot in hand}) == 1 for hand in hands)


def test_labels_are_balanced_over_many_scenes():
    counts = Counter(slot.label for hand in deal(1000, 3, random.Random(1)) for slot in hand)
    for label in ("entailment", "contradiction", "neutral"):
        assert counts[label] / 3000 == pytest.approx(1 / 3, abs=0.01)


def test_words_are_as_frequent_under_each_label():
    pairs = sampled_pairs(1500, 4)
    counted = {
        label: Counter(word for _, slot, text in pairs if slot.label == label for word in text.split())
        for label in ("entailment", "contradiction", "neutral")
    }
    for word in (*COLOURS, *SHAPES, *SIDES):
        shares = [counts[word] / counts["is"] for counts in counted.values()]
        assert max(shares) < 1.2 * min(shares)


def test_texts_of_a_scene_differ():
    rng = random.Random(0)
    slots = (Slot("kind", "entailment", None),) * 2
    scene = Scene((RED_CIRCLE, BLUE_STAR), None)
    found = {hypotheses(scene, slots, rng) for _ in range(50)}
    assert found == {None, ("there is a red circle", "there is a blue star"), ("there is a blue star", "there is a red circle")}


def test_scene_without_what_is_asked_for_gives_nothing():
    scene = Scene((BLUE_STAR, GREEN_STAR), None)
    rng = random.Random(0)
    assert hypotheses(scene, (Slot("attribute", "entailment", None),), rng) is None
    assert hypotheses(scene, (Slot("position", "entailment", None, "left"),), rng) is None
    assert hypotheses(scene, (Slot("position", "contradiction", None, "right"),), rng) is None


def test_neutral_position_is_one_that_the_curtain_half_hides():
    for curtain in SIDES:
        half_hidden = {slot.side for slot in deck(curtain) if slot.form == "position" and slot.label == "neutral"}
        assert half_hidden == set(SIDES) - {curtain, OPPOSITE[curtain]}


def test_captions_of_one_thing_tell_its_size_and_place():
    for caption in captions(Scene((RED_CIRCLE,), None), random.Random(0)):
        assert "big red circle" in caption
        assert "on the left" in caption


def test_captions_of_two_things_can_be_read_both_ways():
    scene = Scene((RED_CIRCLE, BLUE_STAR), None)
    rng = random.Random(0)
    said = {caption for _ in range(30) for caption in captions(scene, rng)}
    assert said == {
        "a red circle left of a blue star",
        "there is a red circle left of a blue star",
        "a red circle is left of a blue star",
        "a blue star right of a red circle",
        "a big red circle left of a small blue star",
        "a red circle on the left and a blue star at the top right",
        "two shapes a red circle and a blue star",
    }


def test_things_in_one_column_are_above_and_below():
    said = captions(Scene((BLUE_STAR, GREEN_STAR), None), random.Random(0))
    assert any("a blue star above a green star" in caption or "a green star below a blue star" in caption for caption in said)


def test_equal_shapes_are_counted():
    rng = random.Random(0)
    said = {caption for _ in range(30) for caption in captions(Scene((RED_CIRCLE, BLUE_STAR, GREEN_STAR), None), rng)}
    assert "two stars and a red circle" in said
    crosses = tuple(Thing("cross", colour, "big", row, 0) for row, colour in enumerate(("red", "blue", "green")))
    said = {caption for _ in range(30) for caption in captions(Scene(crosses, None), rng)}
    assert "three crosses a red cross a blue cross and a green cross" in said


@pytest.mark.parametrize("curtain", CURTAINS)
def test_captions_are_short_plain_and_different(curtain):
    rng = random.Random(0)
    for _ in range(300):
        said = captions(sample_scene(rng, curtain), rng)
        assert len(set(said)) == 5
        assert all(len(caption.split()) <= 15 and caption.replace(" ", "").isalpha() and caption.islower() for caption in said)


def test_one_caption_tells_of_the_curtain():
    assert sum("curtain" in caption for caption in captions(Scene((RED_CIRCLE,), "top"), random.Random(0))) == 1
    assert not any("curtain" in caption for caption in captions(Scene((RED_CIRCLE,), None), random.Random(0)))
