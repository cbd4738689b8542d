"""The reference's outputs with the same weights: hidden states, logits, greedy and beam search."""

import functools

import pytest
import small_ofa
import torch
from small_ofa import CASES, golden_arrays, golden_result

from mue_cli.exits.methods import full
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.recipe.recipe import SearchSection

golden_model = functools.cache(small_ofa.golden_model)
"""Nothing here changes a model."""

TOLERANCE = 2e-4
SEARCHES = {
    "greedy": SearchSection(beam=1),
    "beam5": SearchSection(),
    "beam5_no_ngram": SearchSection(no_repeat_ngram=0),
    "beam5_lenpen2_minlen4_max9": SearchSection(length_penalty=2.0, min_tokens=4, max_tokens=9),
    "beam5_lenpen0": SearchSection(length_penalty=0.0),
    "beam5_unnormalized": SearchSection(length_penalty=0.0),
    "beam3_temp0.7": SearchSection(beam=3, temperature=0.7),
    "beam2_ngram2": SearchSection(beam=2, no_repeat_ngram=2),
}


def difference(found: torch.Tensor, expected: torch.Tensor, padded: torch.Tensor) -> float:
    return float((found - expected)[~padded].abs().max())


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_hidden_states_and_logits_equal_the_reference(case):
    model, golden = golden_model(case), golden_arrays(case)
    encoded = model.encode(
        golden["in_patch_images"].float(), golden["in_src_tokens"], False, golden["in_patch_masks"]
    )
    source_padding = golden["out_encoder_padding_mask"]
    for layer, state in enumerate(encoded.states["joint"]):
        assert difference(state, golden[f"out_encoder_hidden_{layer}"], source_padding) < TOLERANCE
    assert (
        difference(encoded.hidden, golden["out_encoder_last_hidden_state"], source_padding)
        < TOLERANCE
    )
    assert (encoded.positions - golden["out_position_embedding"][0]).abs().max() < TOLERANCE
    words = golden["in_prev_output_tokens"]
    states = model.decode(words, encoded)
    for layer, state in enumerate(states):
        assert difference(state, golden[f"out_decoder_hidden_{layer}"], words.eq(1)) < TOLERANCE
    assert (
        difference(model.decoder.logits(states[-1]), golden["out_logits"], words.eq(1)) < TOLERANCE
    )


@pytest.mark.parametrize("case", ["g1_base_style", "g2_tiny_style", "g5_plain_flags"])
@torch.inference_mode()
def test_a_masked_image_is_padding(case):
    model, golden = golden_model(case), golden_arrays(case)
    present = golden["in_patch_masks"].clone()
    present[-1] = False
    encoded = model.encode(
        golden["in_patch_images"].float(), golden["in_src_tokens"], False, present
    )
    words = golden["in_prev_output_tokens"]
    logits = model.decoder.logits(model.decode(words, encoded)[-1])[-1]
    assert (
        difference(logits, golden["out_logits_last_sample_image_masked"], words[-1].eq(1))
        < TOLERANCE
    )


@pytest.mark.parametrize(
    ("case", "name"),
    [(case, name) for case in CASES for name in SEARCHES if name in golden_result(case)],
)
@torch.inference_mode()
def test_greedy_and_beam_search_equal_the_reference(case, name):
    model, golden = golden_model(case), golden_arrays(case)
    tables, method = PositionTables(model), full(decompose=False)
    encoded = encode(
        model,
        tables,
        method,
        golden["in_patch_images"].float(),
        golden["in_src_tokens"],
        golden["in_patch_masks"],
    )
    for found, expected in zip(
        generate(model, tables, method, encoded, SEARCHES[name]),
        golden_result(case)[name],
        strict=True,
    ):
        assert [list(h.tokens) for h in found.hypotheses] == [h["tokens"] for h in expected]
        assert [h.score for h in found.hypotheses] == pytest.approx(
            [h["score"] for h in expected], abs=TOLERANCE
        )
