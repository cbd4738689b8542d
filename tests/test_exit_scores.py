"""A threshold chosen from exit scores lets rows leave where they say, in a run of its own."""

from dataclasses import replace

import method_rows as methods
import numpy as np
import pytest
import torch
from small_ofa import Letters, small_batch, small_model

from mue_cli.calibration.candidates import levels
from mue_cli.data.tasks import CAPTION, ENTAILMENT, Task
from mue_cli.errors import MueError
from mue_cli.evaluation.exit_scores import ScoreRows
from mue_cli.evaluation.predict import Predictor, predict_batch
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.exits.methods import Method, full
from mue_cli.inference.positions import PositionTables
from mue_cli.recipe.recipe import SearchSection

LAYERS, DIM, ANSWERS = 4, 32, 3


def method_at(name: str, threshold: float) -> Method:
    torch.manual_seed(1)
    heads, imitation = LayerHeads(LAYERS, DIM, ANSWERS), ImitationHead(LAYERS, DIM)
    return {
        "mue": lambda: methods.mue(
            {"image": threshold, "text": threshold, "decoder": threshold}, True, None
        ),
        "deebert": lambda: methods.deebert(threshold, heads, True),
        "pabee": lambda: methods.pabee(max(1, np.ceil(threshold * LAYERS)), heads, True),
        "deecap": lambda: methods.deecap(threshold, imitation, True),
        "calm": lambda: methods.calm(threshold, True, None),
    }[name]()


@pytest.mark.parametrize("task", [ENTAILMENT, CAPTION], ids=["answer", "caption"])
def test_scores_that_are_no_numbers_are_an_error_and_never_an_answer(task: Task) -> None:
    batch, model = small_batch(0, 2), small_model(0)
    with torch.no_grad():
        model.decoder.layer_norm.weight.fill_(torch.nan)
    predictor = Predictor(model, Letters(), task, SearchSection(), PositionTables(model))
    with pytest.raises(MueError, match="the model's scores are not finite"):
        predict_batch(predictor, full(decompose=True), batch)


@pytest.mark.parametrize("name", ["mue", "deebert", "pabee", "deecap", "calm"])
def test_rows_leave_where_their_exit_scores_say(name: str) -> None:
    """Answers are one step, so the exit scores of the full model are exact: the first layer above the
    threshold, or the last one.
    """
    batch, model = small_batch(0, 12), small_model(0)
    subject = Predictor(model, Letters(), ENTAILMENT, SearchSection(), PositionTables(model))
    watched = method_at(name, 0.5)
    score = watched.rule("decoder").score
    assert score is not None
    rows = ScoreRows(score, LAYERS)
    rows.numbers = range(12)
    predict_batch(subject, replace(watched, rules={}), batch, {"decoder": rows})
    scores = rows.by_sample()
    if name == "pabee":
        scores = (scores - 1) / LAYERS
    assert scores.shape == (12, LAYERS)
    found = set()
    for threshold in levels(scores, 4).values():
        method = method_at(name, threshold)
        only_decoder = Method(
            method.name, True, {"decoder": method.rules["decoder"]}, head=method.head
        )
        exits = [
            prediction.trace.decoder_exits[0]
            for prediction in predict_batch(subject, only_decoder, batch)
        ]
        least = (
            max(threshold, 0.0) if name == "pabee" else threshold
        )  # at least one layer must agree
        above = [
            [layer for layer, value in enumerate(row[:-1], start=1) if value > least]
            for row in scores
        ]
        assert exits == [layers[0] if layers else LAYERS for layers in above], threshold
        found |= set(exits)
    assert len(found) > 1


def test_levels_by_hand() -> None:
    """Two rows of three layers; thresholds 0.5 and 0.3 save 1/6 and 1/2 of the
    layers, at once 2/3.

    Asked for a half and all of 2/3: 1/3 is as far from 1/6 as from 1/2, and the first of them
    counts.
    """
    found = levels([[0.2, 0.6, 0.9], [0.4, 0.1, 0.3]], 2)
    assert list(found) == [0.5, 1.0]
    assert found[1.0] == -1.0
    assert found[0.5] in (pytest.approx(0.5), pytest.approx(0.3))
