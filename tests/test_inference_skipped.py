"""Layers that words skipped: what each policy lets later words see there, and that nothing is spent
where nobody can leave.
"""

from dataclasses import dataclass
from typing import get_args

import pytest
import torch
from method_rows import mue
from small_ofa import pad, small_inputs, small_model
from torch import Tensor

from mue_cli.exits.methods import Method, SkippedPolicy, full
from mue_cli.exits.observation import Observation
from mue_cli.inference import decode, skipped
from mue_cli.inference.attention import attend_to_parts
from mue_cli.inference.cache import CrossCache
from mue_cli.inference.decode import Generation
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

ROWS, BEAM, STEPS = 3, 2, 8
LAYERS = 4
EXITS = torch.tensor([[1, 2, 4, 1, 3, 2, 4, 4], [3, 1, 1, 1, 2, 4, 1, 4], [2, 2, 3, 3, 1, 1, 1, 4]])
"""Exit layer of each row at each step; rows leave at layers of their own, and the last step runs
them all.
"""


@dataclass
class Laid:
    """A rule that lets each row go where the table says; it counts on all rows being there at every
    step.
    """

    can_fire: bool = True

    def __call__(self, observation: Observation) -> Tensor:
        wanted = EXITS[:, (observation.step or 1) - 1]
        running = wanted[wanted >= observation.layer]
        return running <= observation.layer


@torch.inference_mode()
def states(model: OFA, method: Method) -> list[Tensor]:
    """Feed the same words, and the same choices among hypotheses, under a method; return the states
    (B, Q, D) of every step.
    """
    images, texts = small_inputs(1, ROWS)
    tables = PositionTables(model)
    encoded = encode(model, tables, full(True), images.double(), pad(texts))
    generation = Generation(model, tables, method, encoded, BEAM, STEPS)
    generator = torch.Generator().manual_seed(2)
    rows, seen = range(ROWS), []
    for position in range(STEPS):
        words = torch.randint(4, 60, (ROWS, BEAM if position else 1), generator=generator)
        seen.append(generation.step(words, rows, position).hidden)
        sources = torch.randint(0, BEAM if position else 1, (ROWS, BEAM), generator=generator)
        generation.reorder(rows, sources, position + 1)
    return seen


@pytest.fixture(scope="module")
def model() -> OFA:
    return small_model(3).double()


def test_after_recomputing_a_step_at_full_depth_is_the_full_models(model):
    everything, recomputed = (
        states(model, full(True)),
        states(model, Method("laid", True, {"decoder": Laid()}, "recompute")),
    )
    compared = 0
    for step in range(STEPS):
        for row in range(ROWS):
            if EXITS[row, step] == LAYERS:
                assert torch.allclose(
                    everything[step][row], recomputed[step][row], rtol=0, atol=1e-12
                )
                compared += 1
    assert compared == 6


@pytest.mark.parametrize("policy", ["project", "copy"])
def test_projecting_and_copying_are_not_exact(model, policy):
    everything, others = (
        states(model, full(True))[-1],
        states(model, Method("laid", True, {"decoder": Laid()}, policy))[-1],
    )
    assert not torch.isclose(everything, others, rtol=0, atol=1e-3).all(2).any()


def test_policies_differ_only_where_a_word_goes_deeper_than_one_before_it(model):
    """And projecting is recomputing for the first layer that a word skipped: its input is the state
    that the word left with.
    """
    projected, recomputed, copied = (
        states(model, Method("laid", True, {"decoder": Laid()}, policy))
        for policy in ("project", "recompute", "copy")
    )
    for step in range(1, STEPS):
        for row in range(ROWS):
            deeper = int(EXITS[row, step] - EXITS[row, :step].min())
            assert torch.allclose(copied[step][row], projected[step][row], atol=1e-12) is (
                deeper <= 0
            )
            assert torch.allclose(recomputed[step][row], projected[step][row], atol=1e-12) is (
                deeper <= 1
            )


def test_where_nobody_can_leave_nothing_is_kept_or_looked_for(model, monkeypatch):
    def forbidden(*_):
        raise AssertionError

    monkeypatch.setattr(skipped, "SkippedLayers", forbidden)
    monkeypatch.setattr(skipped.LeftStates, "put", forbidden)
    states(model, full(True))
    states(model, mue({"decoder": 1.01}, True, None))


@pytest.mark.parametrize("policy", get_args(SkippedPolicy))
def test_no_states_are_kept_before_a_word_leaves_early(model, monkeypatch, policy):
    """A threshold of 1 can fire and does not; and a copy needs no states at all."""
    kept = []
    monkeypatch.setattr(skipped.LeftStates, "put", lambda self, places, states: kept.append(places))
    states(model, mue({"decoder": 1.0}, True, None, policy))
    assert not kept
    if policy == "copy":
        states(model, Method("laid", True, {"decoder": Laid()}, policy))
        assert not kept


@torch.inference_mode()
@pytest.mark.parametrize("policy", get_args(SkippedPolicy))
def test_a_word_that_leaves_for_good_costs_nothing_more(model, monkeypatch, policy):
    """All words leave after the first layer: no deeper layer is ever filled."""
    monkeypatch.setattr(decode.SelfCache, "write", lambda *_: pytest.fail("a hole was filled"))
    images, texts = small_inputs(1, ROWS)
    tables, method = PositionTables(model), mue({"decoder": -1.0}, True, None, policy)
    encoded = encode(model, tables, method, images.double(), pad(texts))
    results = generate(model, tables, method, encoded, SearchSection(beam=2, max_tokens=5))
    assert {layer for result in results for layer in result.exit_layers} == {1}


@torch.inference_mode()
def test_rows_of_cross_attention_come_in_runs(model):
    """Neighbouring rows are one part, and so is one row that is asked for again and again."""
    cache = CrossCache(model.decoder.stack(), torch.randn(6, 5, 32, dtype=torch.float64))
    asked = (0, 0, 0, 2, 3, 3, 5, 4, 1, 2, 3)
    parts = cache.get(1, asked)
    assert [(part.start, part.stop, len(keys)) for part, keys, _ in parts] == [
        (0, 3, 1),
        (3, 5, 2),
        (5, 6, 1),
        (6, 7, 1),
        (7, 8, 1),
        (8, 11, 3),
    ]
    together = cache.get(1, range(6))[0]
    attention, x = (
        model.decoder.stack()[1].cross_attn,
        torch.randn(len(asked), 2, 32, dtype=torch.float64),
    )
    bias = torch.randn(len(asked), 1, 1, 5, dtype=torch.float64)
    for row, number in enumerate(asked):
        alone = attention(
            x[row : row + 1],
            together[1][number][None],
            together[2][number][None],
            bias[row : row + 1],
        )
        attended = attend_to_parts(parts, bias)(attention, x)[row]
        assert torch.allclose(attended, alone[0], rtol=0, atol=1e-12)


@torch.inference_mode()
@pytest.mark.parametrize("first", [(1,), (0, 2), (0, 1, 2)])
def test_cross_keys_lie_transposed_in_float32_whichever_rows_come_first(first):
    model = small_model(0)
    hidden = torch.randn(3, 5, 32)
    cache = CrossCache(model.decoder.stack(), hidden)
    cache.get(0, first)
    ((_, keys, values),) = cache.get(0, range(3))
    assert keys.stride(2) == values.stride(3) == 1
    for found, expected in zip(
        (keys, values), model.decoder.stack()[0].cross_keys_values(hidden), strict=True
    ):
        assert torch.allclose(found, expected, atol=1e-6)
