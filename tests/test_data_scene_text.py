"""What is said about scenes: captions are true, labels are right, and texts say nothing about their
labels.
"""

import random
from collections import Counter, defaultdict

import pytest

from mue_cli.data.sources.scene_text import (
    FORMS,
    Hypothesis,
    Slot,
    captions,
    deal,
    deck,
    fits,
    hypotheses,
)
from mue_cli.data.sources.scenes import COLOURS, SHAPES, SIDES, Scene, Thing, place, sample_kinds
from mue_cli.data.sources.shapes import _fitting_scene

CURTAINS = (None, *SIDES)
RED_CIRCLE = Thing("circle", "red", "big", 1, 0)
BLUE_STAR = Thing("star", "blue", "small", 0, 2)
GREEN_STAR = Thing("star", "green", "big", 2, 2)


def sampled_pairs(count, pairs, seed=0):
    """(scene, slot, text) of as many scenes as asked."""
    rng = random.Random(seed)
    found = []
    for slots in deal(count, pairs, rng):
        scene, texts = _fitting_scene(slots, "train", rng)
        found += [(scene, slot, text) for slot, text in zip(slots, texts, strict=True)]
    return found


def judged(scene, text):
    """The label by brute force: what holds in every way to fill the cells behind the curtain, in
    none, or in some.
    """
    hidden = [
        (row, column)
        for row in range(3)
        for column in range(3)
        if scene.curtain and Thing("", "", "", row, column).is_at(scene.curtain)
    ]
    outcomes = {_holds(scene.things, text)}
    for row, column in hidden:
        for colour in COLOURS:
            for shape in SHAPES:
                outcomes.add(
                    _holds((*scene.things, Thing(shape, colour, "big", row, column)), text)
                )
    return (
        "neutral" if len(outcomes) > 1 else "entailment" if outcomes == {True} else "contradiction"
    )


def _holds(things, text):
    return any(set(text.split()[3:]) <= set(thing.kind) for thing in things)


def test_labels_are_what_brute_force_finds():
    pairs = sampled_pairs(150, 4)
    assert {slot.label for _, slot, _ in pairs} == {"entailment", "contradiction", "neutral"}
    wrong = [
        (scene, slot, text) for scene, slot, text in pairs if judged(scene, text) != slot.label
    ]
    assert wrong == []


def test_decks_hold_every_form_with_each_label_equally_often():
    counted = defaultdict(Counter)
    for curtain in CURTAINS:
        for slot in deck(curtain):
            counted[slot.form][slot.label] += 1
    for form, weight in FORMS.items():
        assert counted[form] == dict.fromkeys(
            ("entailment", "contradiction", "neutral"), 24 * weight
        )


def test_neutral_needs_a_curtain():
    assert all(
        slot.curtain for curtain in CURTAINS for slot in deck(curtain) if slot.label == "neutral"
    )


@pytest.mark.parametrize("pairs", [1, 3, 6])
def test_each_scene_gets_its_slots_all_under_one_curtain(pairs):
    hands = deal(100, pairs, random.Random(0))
    assert len(hands) == 100
    assert all(len(hand) == pairs and len({slot.curtain for slot in hand}) == 1 for hand in hands)


def test_labels_are_balanced_over_many_scenes():
    counts = Counter(slot.label for hand in deal(1000, 3, random.Random(1)) for slot in hand)
    for label in ("entailment", "contradiction", "neutral"):
        assert counts[label] / 3000 == pytest.approx(1 / 3, abs=0.02)


def test_words_are_as_frequent_under_each_label():
    pairs = sampled_pairs(4000, 3)
    counted = {
        label: Counter(
            word for _, slot, text in pairs if slot.label == label for word in text.split()
        )
        for label in ("entailment", "contradiction", "neutral")
    }
    for word in (*tuple(COLOURS)[:3], *SHAPES[:3]):
        shares = [counts[word] / counts["is"] for counts in counted.values()]
        assert max(shares) < 1.25 * min(shares), word


def test_what_one_sentence_asserts_no_other_denies():
    rng = random.Random(0)
    slots = (
        Slot("kind", "entailment", None),
        Slot("colour", "contradiction", None),
        Slot("shape", "contradiction", None),
    )
    for _ in range(200):
        asserted, *denied = hypotheses(slots, rng)
        assert denied[0].colour != asserted.colour
        assert denied[1].shape != asserted.shape


def test_texts_of_a_scene_differ():
    slots = tuple(Slot(form, "entailment", None) for form in ("colour", "colour", "shape", "shape"))
    for seed in range(50):
        assert len({each.text for each in hypotheses(slots, random.Random(seed))}) == 4


def test_a_scene_fits_when_every_text_has_its_label():
    scene = Scene((RED_CIRCLE, BLUE_STAR), None)
    red, star, red_star = (
        Hypothesis("colour", "red", "star"),
        Hypothesis("shape", "red", "star"),
        Hypothesis("kind", "red", "star"),
    )
    assert [each.text for each in (red, star, red_star)] == [
        "there is something red",
        "there is a star",
        "there is a red star",
    ]
    entailed, denied = (Slot("kind", label, None) for label in ("entailment", "contradiction"))
    assert fits(scene.kinds, (entailed, entailed, denied), (red, star, red_star))
    assert not fits(scene.kinds, (entailed, entailed, entailed), (red, star, red_star))


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
    assert any(
        "a blue star above a green star" in caption or "a green star below a blue star" in caption
        for caption in said
    )


def test_equal_shapes_are_counted():
    rng = random.Random(0)
    said = {
        caption
        for _ in range(30)
        for caption in captions(Scene((RED_CIRCLE, BLUE_STAR, GREEN_STAR), None), rng)
    }
    assert "two stars and a red circle" in said
    squares = tuple(
        Thing("square", colour, "big", row, 0)
        for row, colour in enumerate(("red", "blue", "green"))
    )
    said = {caption for _ in range(30) for caption in captions(Scene(squares, None), rng)}
    assert "three squares a red square a blue square and a green square" in said


@pytest.mark.parametrize("curtain", CURTAINS)
def test_captions_are_short_plain_and_different(curtain):
    rng = random.Random(0)
    for _ in range(300):
        said = captions(place(sample_kinds(rng), curtain, rng), rng)
        assert len(set(said)) == 5
        assert all(
            len(caption.split()) <= 15 and caption.replace(" ", "").isalpha() and caption.islower()
            for caption in said
        )


def test_one_caption_tells_of_the_curtain():
    assert (
        sum(
            "curtain" in caption
            for caption in captions(Scene((RED_CIRCLE,), "top"), random.Random(0))
        )
        == 1
    )
    assert not any(
        "curtain" in caption for caption in captions(Scene((RED_CIRCLE,), None), random.Random(0))
    )
