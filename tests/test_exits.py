"""Rules: hand-worked numbers for Eq. 7-11."""

import math
from typing import get_args

import pytest
import torch
from method_rows import mue, similarity_rule, static

from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.exits.catalogue import CATALOGUE, MUE
from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.exits.methods import SkippedPolicy, full
from mue_cli.exits.observation import Observation
from mue_cli.exits.similarity import similarity
from mue_cli.exits.static import NeverRule, StaticRule
from mue_cli.experiment.methods import make_method
from mue_cli.recipe.recipe import ExitsSection, Recipe, SkippedLayers


def states(*rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows)


BEFORE = states([[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [0.0, 0.0]])
AFTER = states([[1.0, 1.0], [0.0, 1.0]], [[4.0, 3.0], [0.0, 0.0]])


def test_similarity_is_the_cosine_of_each_sample_flattened():
    """Row 1: (1*1 + 1*1) / (sqrt 2 * sqrt 3); row 2: (12 + 12) / 25."""
    assert similarity(BEFORE, AFTER).tolist() == pytest.approx([2 / math.sqrt(6), 0.96])


def test_similarity_does_not_see_padding():
    """Row 1 keeps only its first token: 1 / sqrt 2."""
    padding = torch.tensor([[False, True], [False, True]])
    assert similarity(BEFORE, AFTER, padding).tolist() == pytest.approx([1 / math.sqrt(2), 0.96])


def test_similarity_never_exceeds_one():
    hidden = torch.randn(50, 7, 33)
    assert (similarity(hidden, hidden * 1.7) <= 1.0).all()


def test_a_row_leaves_only_when_strictly_more_similar_than_the_threshold():
    observation = Observation(1, BEFORE, AFTER)
    exact = similarity(BEFORE, AFTER)[1].item()
    assert similarity_rule(exact)(observation).tolist() == [False, False]
    assert similarity_rule(0.9)(observation).tolist() == [False, True]
    assert similarity_rule(0.5)(observation).tolist() == [True, True]


def test_the_threshold_decays_as_equation_11_says():
    """theta 0.8, beta 0.9, tau 4, N 10: t = 5 gives 0.72 + 0.1 * exp(-2)."""
    assert decayed_threshold(0.8, 5, 10, 0.9, 4.0) == pytest.approx(0.72 + 0.1 * math.exp(-2.0))
    falling = [decayed_threshold(0.8, t, 10, 0.9, 4.0) for t in range(1, 11)]
    assert falling == sorted(falling, reverse=True)


def test_a_threshold_above_one_never_fires_even_when_it_decays_below():
    rule = similarity_rule(1.01, Decay(beta=0.5, tau=10.0))
    assert rule.threshold_at(17, 17) < 1.0
    assert not rule.can_fire


def test_full_depth_steps_are_never_cut_short():
    rule = similarity_rule(-1.0, Decay(full_depth_steps=2))
    fires = [
        rule(Observation(1, BEFORE, AFTER, step=step, num_steps=5)).any().item()
        for step in (1, 2, 3)
    ]
    assert fires == [False, False, True]


def test_outside_generation_the_threshold_does_not_decay():
    assert similarity_rule(0.7, Decay()).threshold_at(None, None) == 0.7


def test_static_leaves_at_its_layer_and_never_never_does():
    assert [StaticRule(2)(Observation(layer, BEFORE, AFTER)).tolist() for layer in (1, 2)] == [
        [False, False],
        [True, True],
    ]
    assert not NeverRule().can_fire
    assert NeverRule()(Observation(1, BEFORE, AFTER)).tolist() == [False, False]


def test_only_the_decoder_of_mue_decays():
    method = mue({"image": 0.9, "text": 0.8, "decoder": 0.7}, True, Decay())
    assert [method.rule(stream).decay for stream in ("image", "text", "decoder")] == [
        None,
        None,
        Decay(),
    ]


@pytest.mark.parametrize("policy", get_args(SkippedLayers))
def test_the_recipe_says_what_becomes_of_skipped_layers(policy):
    recipe = Recipe("mine", "caption", exits=ExitsSection(skipped_layers=policy))
    for name in ("static", "mue"):
        assert (
            make_method(recipe, CAPTION, CATALOGUE[name], {"decoder": 1}).skipped_layers == policy
        )
    assert make_method(recipe, ENTAILMENT, MUE, {"decoder": 1}).skipped_layers == "project"


def test_recipes_and_methods_know_the_same_policies_for_skipped_layers():
    assert get_args(SkippedLayers) == get_args(SkippedPolicy)


def test_streams_without_a_rule_run_to_the_end():
    assert not full(True).rule("image").can_fire
    assert not static({"decoder": 1}, True).rule("text").can_fire
