"""What a training leaves when it is stopped, killed, or goes wrong."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kill_rounds import make_world, rounds
from small_ofa import small_config
from test_training import captions

from mue_cli.errors import MueError
from mue_cli.experiment.training_files import read_state
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.kept_state import check_fits
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.stages import shared_head
from mue_cli.training.stopping import StoppedTraining, StopRequest


def copied(value):
    return torch.utils._pytree.tree_map(lambda x: x.clone() if torch.is_tensor(x) else x, value)


def start(
    validate=lambda: 0.0,
    report=lambda step: None,
    state=None,
    batches=captions,
    layers=4,
    **settings,
):
    """Train a small model; return it and the states it kept. An error comes with the states."""
    torch.manual_seed(0)
    config = small_config(num_encoder_layers=layers, num_decoder_layers=layers)
    model, states = OFA(config), []
    section = TrainingSection(**{"steps": 6, "validate_every": 3, **settings})
    hooks = Hooks(validate, report, lambda *best: None, lambda kept: states.append(copied(kept)))
    with StopRequest().listening() as stop:
        try:
            finetune(shared_head(model, section, True), batches, section, hooks, state, stop)
        except (MueError, KeyboardInterrupt) as error:
            error.states = states
            raise
    return model, states


def same(one: OFA, other: OFA) -> bool:
    own = other.state_dict()
    return all(torch.equal(weight, own[name]) for name, weight in one.state_dict().items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_the_state_goes_on_to_the_same_weights(number) -> None:
    def stop_at_two(report) -> None:
        if report.step == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedTraining) as caught:
        start(report=stop_at_two)
    assert caught.value.number == number
    state = caught.value.states[-1]
    assert state["step"] == 2, "the step under way was finished"
    assert same(start()[0], start(state=state)[0])


def test_a_signal_in_a_validation_ends_it_and_it_is_begun_anew() -> None:
    validated = []

    def slow() -> float:
        validated.append("begun")
        if len(validated) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        validated.append("ended")
        return 0.0

    with pytest.raises(StoppedTraining) as caught:
        start(validate=slow)
    assert validated == ["begun"]
    state = caught.value.states[-1]
    assert (state["step"], state["pending"]) == (3, True)
    resumed, _ = start(validate=slow, state=state)
    assert validated[1:] == ["begun", "ended"] * 2
    assert same(start()[0], resumed)


def test_states_are_kept_between_validations_too() -> None:
    _, states = start(checkpoint_every=2)
    assert [state["step"] for state in states] == [2, 3, 4, 6]
    assert same(start()[0], start(state=states[2], checkpoint_every=2)[0])


def test_a_loss_that_is_not_finite_names_its_samples_and_leaves_the_weights_from_before() -> None:
    def spoiled(first):
        for number, batch in enumerate(captions(first), first):
            if number == 2:
                batch.images.fill_(torch.nan)
            yield batch

    with pytest.raises(MueError, match=r"not finite at step 3, samples a, b, c, d;") as caught:
        start(batches=spoiled)
    state = caught.value.states[-1]
    assert state["step"] == 2
    assert all(bool(torch.isfinite(value.float()).all()) for value in state["model"].values())
    assert same(start()[0], start(state=state)[0]), "with whole samples it goes on"


def test_too_little_memory_names_the_knobs() -> None:
    def hungry(batch, step):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried")

    section = TrainingSection(batch_size=7)
    stage = shared_head(OFA(small_config()), section, True)
    object.__setattr__(stage, "loss", hungry)
    hooks = Hooks(lambda: 0.0, lambda step: None, lambda *best: None, lambda state: None)
    with pytest.raises(MueError, match="not enough memory for 7 rows") as caught:
        finetune(stage, captions, section, hooks)
    assert "training.accumulation" in caught.value.hint


def test_killed_trainings_end_as_undisturbed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few rounds; `python tests/kill_rounds.py 20` does more, of every command."""
    monkeypatch.chdir(tmp_path)
    make_world(["made", "trained"])
    outcomes = rounds("finetune", count=2)
    assert [each.differences for each in outcomes] == [()] * 2
    assert sum(each.kills for each in outcomes) > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_memory_stays_flat_over_steps_of_varying_length(precision: str) -> None:
    """Once every length has come, further steps take nothing more."""
    from itertools import cycle, islice

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    seen = []
    longer = [*islice(captions(0), 4)]
    cut = [
        replace(
            batch,
            decoder_tokens=batch.decoder_tokens[:, :length],
            target_tokens=batch.target_tokens[:, :length],
        )
        for batch in longer
        for length in range(2, batch.decoder_tokens.shape[1] + 1)
    ]
    start(
        report=lambda step: seen.append(resident()),
        batches=lambda first: cycle(cut),
        layers=2,
        steps=64,
        validate_every=1000,
        precision=precision,
    )
    assert seen[-1] - seen[len(cut)] < 3, "MiB in forty steps"


@pytest.mark.parametrize(
    "damage", [{"random": 3}, {"random": []}, {"optimizer": {}}, {"model": {}}, {"random": [{}]}]
)
def test_a_state_that_does_not_fit_is_one_line(damage: dict[str, object]) -> None:
    _, states = start(steps=3)
    with pytest.raises(MueError, match="cannot go on from the state that was kept") as caught:
        start(state={**states[-1], **damage})
    assert "\n" not in caught.value.message


def test_a_state_of_another_model_is_refused_before_anything_changes() -> None:
    model, states = start(steps=3)
    stage = shared_head(model, TrainingSection(), True)
    check_fits(stage, states[-1])
    kept = states[-1]["model"]
    some = next(iter(kept))
    for other in ({}, 3, {**kept, some: kept[some][:1]}, {**kept, "more": kept[some]}):
        with pytest.raises(MueError, match="cannot go on from the state that was kept: model's "):
            check_fits(stage, {**states[-1], "model": other})


@pytest.mark.parametrize(
    "damage", [{"step": "x"}, {"step": -5}, {"step": True}, {"best": float("nan")}, {"best": None}]
)
def test_a_state_that_says_nothing_of_its_place_is_refused(damage, tmp_path: Path) -> None:
    whole = {
        "step": 3,
        "best": float("-inf"),
        "pending": False,
        "optimizer": {"state": {}, "param_groups": []},
        "random": [{}],
    }
    torch.save({**whole, **damage}, tmp_path / "last.pt")
    with pytest.raises(MueError, match="is not what a training keeps for --resume"):
        read_state(tmp_path / "last.pt")
    torch.save(whole, tmp_path / "last.pt")
    assert read_state(tmp_path / "last.pt") == whole
