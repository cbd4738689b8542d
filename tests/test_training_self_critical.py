"""Self-critical training: samples that beat their baseline become more likely, others less."""

import json
from dataclasses import replace

import pytest
import torch
from small_ofa import small_config
from test_training import captions

from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.self_critical import Sampled, advantages, self_critical
from mue_cli.training.stages import shared_head

GOOD, BAD = Sampled((11, 12, 13, 2), "good"), Sampled((21, 22, 2), "bad")


def log_prob(model: OFA, batch, sampled: Sampled) -> float:
    """Of a caption, for the first picture, word by word."""
    words = torch.tensor([[0, *sampled.tokens[:-1]]])
    states = model(batch.images[:1], batch.source_tokens[:1], words, True)
    log_probs = model.decoder.logits(states[-1])[0].log_softmax(1)
    return sum(row[token].item() for row, token in zip(log_probs, sampled.tokens, strict=True))


def stage_of(model: OFA, greedy=None, **settings):
    return self_critical(
        model,
        TrainingSection(layer_loss="last", freeze_resnet=True, **settings),
        True,
        sample=lambda batch: [[GOOD, BAD]] * 3 + [[GOOD]],
        greedy=greedy,
        reward=lambda batch, texts: [[1.0 if t == "good" else 0.25 for t in row] for row in texts],
    )


def test_a_sample_is_compared_with_the_mean_of_the_others() -> None:
    assert advantages([[1.0, 0.5, 0.0], [2.0]]) == [[0.75, 0.0, -0.75], [0.0]]


def test_or_with_the_greedy_caption() -> None:
    assert advantages([[1.0, 0.5], [2.0]], [0.75, 1.0]) == [[0.25, -0.25], [1.0]]


def test_the_loss_is_the_gain_times_minus_log_p_over_all_words() -> None:
    """Gains 0.75 and -0.75 for three pictures; the fourth has one sample and none. Words: 3 * (4 +
    3) + 4.
    """
    torch.manual_seed(0)
    model, batch = OFA(small_config()), next(captions(0))
    loss = stage_of(model).loss(batch, 0)
    model.eval()
    expected = 0.0
    for row in range(3):
        one = type(batch)(
            **{
                **vars(batch),
                "images": batch.images[row:],
                "source_tokens": batch.source_tokens[row:],
            }
        )
        expected += -0.75 * log_prob(model, one, GOOD) + 0.75 * log_prob(model, one, BAD)
    assert loss.total.item() == pytest.approx(expected / 25, abs=1e-4)


@pytest.mark.parametrize("greedy", [None, lambda batch: [[BAD]] * 4], ids=["others", "greedy"])
def test_better_samples_become_more_likely(greedy) -> None:
    torch.manual_seed(0)
    model, batch = OFA(small_config()), next(captions(0))
    stage = stage_of(model, greedy)
    before = [log_prob(model.eval(), batch, each) for each in (GOOD, BAD)]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        stage.loss(batch, step).total.backward()
        optimizer.step()
    after = [log_prob(model.eval(), batch, each) for each in (GOOD, BAD)]
    assert after[0] - after[1] > before[0] - before[1]
    assert after[0] > before[0]


def test_the_command_trains_by_rewards(mue, tiny_settings, tiny_data, tmp_path) -> None:
    options = [
        *tiny_settings,
        "--set",
        "training.objective=self_critical",
        "--set",
        "search.beam=2",
        "--set",
        "data.max_target_tokens=2",
    ]
    answer = mue("finetune", *options, "--run", tmp_path / "run")
    assert answer.code == 0, answer.stderr
    assert len(list(tiny_data.glob("cider-*.json.gz"))) == 1, "frequencies are counted once"
    assert "lost their end" not in answer.stderr, "captions are references here, and whole"
    steps = (tmp_path / "run" / "train.jsonl").read_text().splitlines()
    assert [json.loads(step)["cut"] for step in steps] == [0] * 4


def test_captions_that_are_mere_references_are_not_cut() -> None:
    torch.manual_seed(0)
    model, batch = OFA(small_config()), replace(next(captions(0)), num_cut=3)
    assert stage_of(model).num_cut([batch, batch]) == 0
    assert shared_head(model, TrainingSection(), True).num_cut([batch, batch]) == 6


def test_rewards_are_for_captions(mue, tiny_settings, tmp_path) -> None:
    options = [*tiny_settings, "--set", "training.objective=self_critical", "--method", "pabee"]
    answer = mue("finetune", *options, "--run", tmp_path / "run")
    assert answer.code == 2
    assert "`training.objective` is self_critical, which trains captions" in answer.stderr
