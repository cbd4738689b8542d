"""The parts of an experiment's procedures, without the command runner, on a tiny trained run."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mue_cli import Experiment
from mue_cli.calibration.goal import Goal
from mue_cli.data.pictures import Unreadable
from mue_cli.errors import CheckpointError, MissingStepError, MueError, RecipeError
from mue_cli.evaluation.spending import by_layers
from mue_cli.exits.catalogue import CATALOGUE, MUE
from mue_cli.experiment import clearing, run_folder, training_data, training_files
from mue_cli.experiment.benchmark_setup import MADE_UP, open_setup
from mue_cli.experiment.calibrate import open_trials
from mue_cli.experiment.choices import Question
from mue_cli.experiment.choosing import Chooser
from mue_cli.experiment.exit_heads import HeadSizes, head_sizes, open_head
from mue_cli.experiment.inputs import data_fingerprint
from mue_cli.experiment.lock import Owner, holding, holding_run
from mue_cli.experiment.methods import decay
from mue_cli.experiment.predict import PictureStream, json_line, token_texts
from mue_cli.experiment.promises import promise_of
from mue_cli.experiment.run_folder import BESIDE, Run, records
from mue_cli.experiment.self_critical import self_critical_stage
from mue_cli.experiment.stated import conditions_of, fingerprint_of
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.experiment.timing import machine, verified
from mue_cli.experiment.train_method import train_method
from mue_cli.experiment.training_files import READY, TrainingFiles
from mue_cli.experiment.training_start import check_data
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.reports.inputs import INPUTS
from mue_cli.training.processes import Processes

pytestmark = pytest.mark.usefixtures("without_java")


@pytest.fixture
def here(copied_run: Run) -> Experiment:
    """Return a small trained and calibrated run that a test may change."""
    return Experiment.open(run=copied_run.folder, device="cpu")


# What is opened.


def test_what_is_missing_is_named_before_work_starts(here: Experiment, tmp_path: Path) -> None:
    here.need_trained()
    assert here.starting_tokenizer.to_json() == here.tokenizer.to_json()
    assert here.predictor_of(here.model, here.tokenizer).tokenizer is here.tokenizer
    with pytest.raises(MissingStepError):
        Experiment.open("shapes-caption", tmp_path / "none").need_trained()


def test_only_methods_with_a_head_of_their_own_have_sizes(here: Experiment) -> None:
    config, task = here.model.config, here.task
    assert head_sizes(MUE, task, config) is None and open_head(here, "mue") is None
    sizes = head_sizes(CATALOGUE["deebert"], task, config)
    words = config.vocab_size
    assert sizes == HeadSizes("layers", config.num_decoder_layers, config.embed_dim, words)
    with pytest.raises(MissingStepError, match=r"deebert\.safetensors"):
        open_head(here, "deebert")
    with pytest.raises(RecipeError, match="one decoder layer"):
        head_sizes(CATALOGUE["deebert"], task, replace(config, num_decoder_layers=1))


def test_thresholds_hold_for_the_weights_they_were_searched_with(here: Experiment) -> None:
    conditions = conditions_of(here, "mue")
    assert conditions == read_thresholds(here.run).conditions
    assert conditions.fingerprint == fingerprint_of(here, "mue")


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"decoder": 0.123}},
        {"image_size": 48},
        {"prompt": "bare"},
        {"max_source_tokens": 7},
        {"search": {"beam": 2, "max_tokens": 4, "length_penalty": 5.0}},
        {"precision": "bfloat16"},
        {"weights": "others"},
        {"weights_fingerprint": "fedcba9876543210"},
        {"beta": 0.123},
    ],
)
def test_promise_is_of_the_conditions_that_thresholds_were_searched_under(
    here: Experiment, change: dict[str, object]
) -> None:
    record = next(each for each in records(here.run) if each.method == "mue")
    assert promise_of(here.run, record) == read_thresholds(here.run)
    assert promise_of(here.run, replace(record, settings={**record.settings, **change})) is None


def test_record_from_before_is_compared_by_what_it_states(here: Experiment) -> None:
    record = next(each for each in records(here.run) if each.method == "mue")
    older = {name: value for name, value in record.settings.items() if name not in INPUTS}
    assert promise_of(here.run, replace(record, settings=older)) == read_thresholds(here.run)


def test_a_run_folder_has_one_procedure_at_a_time(here: Experiment) -> None:
    @holding_run("calibrate")
    def procedure(experiment: Experiment, number: int) -> int:
        return number + 1

    assert procedure(here, 1) == 2
    with holding(here.run.folder, "finetune"), pytest.raises(MueError, match="`mue finetune`"):
        procedure(here, 1)
    assert str(Owner("evaluate", 7, "noon")) == "`mue evaluate`, process 7, since noon"


def test_the_commands_of_a_method_are_named(here: Experiment) -> None:
    assert run_folder.calibrate_command("mue") == "calibrate"
    assert run_folder.calibrate_command("calm") == "calibrate --method calm"
    run_folder.keep_tokenizer(here.run, "{}")
    assert here.run.tokenizer.read_text() == "{}"


def test_what_a_changed_head_makes_void_goes_and_nothing_else(here: Experiment) -> None:
    before = here.run.records.read_text()
    path = here.run.of_method(here.run.thresholds, "deebert")
    path.write_text("x")
    with here.run.records.open("a") as file:
        file.write(json.dumps({"method": "deebert"}) + "\n")
    clearing.clear_method(here.run, "deebert")
    assert here.run.records.read_text() == before and not path.exists()


# Training.


def test_a_training_beside_another_takes_its_place_when_it_is_whole(here: Experiment) -> None:
    run, old = here.run, here.run.checkpoint.read_bytes()
    files = TrainingFiles(run, beside=True)
    files.begin(here.recipe, "{}")
    assert run.checkpoint.read_bytes() == old and run.thresholds.exists()
    files.keep_weights(lambda path: path.write_bytes(b"new") and None, None, "mue")
    assert run.checkpoint.read_bytes() == b"new"
    assert not run.thresholds.exists() and not (run.folder / BESIDE).exists()
    assert files.run == run


def test_a_move_that_was_cut_short_is_finished(here: Experiment) -> None:
    beside = here.run.folder / BESIDE
    beside.mkdir()
    (beside / "checkpoint.safetensors").write_bytes(b"new")
    training_files.finish_move(here.run)
    assert here.run.checkpoint.read_bytes() != b"new"  # it was not ready
    assert training_files.files_to_resume(here.run).run.folder == beside
    (beside / READY).touch()
    training_files.finish_move(here.run)
    assert here.run.checkpoint.read_bytes() == b"new" and not beside.exists()
    assert training_files.files_to_resume(here.run).run == here.run


def test_state_and_log_are_read_to_the_last_whole_step(here: Experiment) -> None:
    state = training_files.read_state(here.run.last_state)
    lines = here.run.train_log.read_text().splitlines(keepends=True)
    assert state["step"] == len(lines)
    here.run.train_log.write_text("".join(lines) + '{"step": ')
    TrainingFiles(here.run, beside=False).go_on(here.recipe, 2)
    assert here.run.train_log.read_text().splitlines(keepends=True) == lines[:2]
    TrainingFiles(here.run, beside=False).keep_state({"step": 1})
    with pytest.raises(CheckpointError, match="not what a training keeps"):
        training_files.read_state(here.run.last_state)


def test_a_recipe_that_somebody_wrote_is_not_replaced(here: Experiment) -> None:
    training_files.refuse_strangers(here.run)
    here.run.tokenizer.unlink()
    with pytest.raises(MueError, match="not written by `mue finetune`"):
        training_files.refuse_strangers(here.run)


def test_a_vocabulary_of_another_size_is_refused_on_resuming(here: Experiment) -> None:
    check_data(here, here.run, here.tokenizer, {"step": 1})
    other = Tokenizer.train(["quite other words"], 300)
    check_data(here, here.run, other, None)
    with pytest.raises(RecipeError, match="is not the run's"):
        check_data(here, here.run, other, {"step": 1})


def test_a_vocabulary_remembers_how_it_cut_a_text(here: Experiment) -> None:
    words = training_data.Remembering(here.tokenizer)
    assert words.encode("a red circle") == here.tokenizer.encode("a red circle")
    assert words.encode("a red circle") is words.encode("a red circle")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.cache_features=true"], "needs a ResNet that stays"),
        (["training.objective=self_critical", "exits.method=pabee"], "is self_critical"),
        (["training.distillation=0.5", "exits.method=deecap"], "is for the shared head"),
        (["training.batch_size=1"], "cannot be shared by 2 processes"),
    ],
)
def test_data_settings_that_do_not_go_together_are_refused(
    settings: list[str], message: str, here: Experiment
) -> None:
    other = Experiment.open(run=here.run.folder, device="cpu", overrides=settings)
    with pytest.raises(MueError, match=message):
        training_data.check_data_settings(other, Processes(0, 2))


def test_processes_share_validation_samples_without_loss(here: Experiment) -> None:
    whole = training_data.validation_batches(here, here.tokenizer, features=None)
    parts = [whole.share(Processes(rank, 2)) for rank in range(2)]
    ids = [[part.examples[n].image_id for n in range(len(part.examples))] for part in parts]
    expected = [whole.examples[n].image_id for n in range(len(whole.examples))]
    assert sorted(ids[0] + ids[1]) == sorted(expected)
    assert whole.share(Processes()).examples is whole.examples
    assert training_data.features_of(here, here.model) is None
    batch = next(training_data.batches_from(here, 0, here.tokenizer))
    assert batch.images.shape[0] == here.recipe.training.batch_size


def test_self_critical_training_rewards_its_own_captions(here: Experiment) -> None:
    stage = self_critical_stage(here, here.model, here.tokenizer)
    batch = next(here.training_batches(0, here.tokenizer))
    assert math.isfinite(stage.loss(batch, 0).total.item())
    assert list(here.data.root.glob("cider-*.json.gz"))


def test_the_heads_of_a_method_are_trained_on_the_model_that_is_there(here: Experiment) -> None:
    def open_with(settings: object, trained: bool) -> Experiment:
        return Experiment.open(
            run=here.run.folder, device="cpu", overrides=list(settings), trained=trained
        )

    weights = here.run.checkpoint.read_bytes()
    experiment, trained = train_method(open_with, ["training.steps=2"], "deebert")
    assert trained.exit_head == here.run.exit_head("deebert") and trained.exit_head.exists()
    assert here.run.checkpoint.read_bytes() == weights
    assert "training.steps" not in experiment.run.command("calibrate")


# Calibration and measurement.


def test_trials_answer_as_the_full_model_where_nothing_exits(here: Experiment) -> None:
    trials = open_trials(here, MUE)
    config = here.model.config
    spending = by_layers(config.num_encoder_layers, config.num_decoder_layers)
    full = trials.full(spending)
    assert len(full.spent) == trials.num_samples == len(trials.pictures)
    assert trials.table is None and trials.streams[-1] == "decoder"
    assert trials.loss_name == "relative drop of a picture's own CIDEr-D"
    assert trials.pictures_of([0]) == trials.pictures[:1]
    encoded, decoded = trials.passes
    assert encoded == decoded == trials.num_samples
    assert set(trials.scores.encoder) == {"image", "text"}
    assert np.isfinite(trials.scores.decoder).all()


def test_a_chooser_finds_settings_for_every_target(here: Experiment) -> None:
    trials = open_trials(here, MUE)
    config = here.model.config
    spending = by_layers(config.num_encoder_layers, config.num_decoder_layers)
    chooser = Chooser.of(trials, spending, Goal(0.1), decay(here.recipe, here.task, MUE))
    best = chooser.best_of([0.1, 0.3], 3)
    assert set(best) <= {0.1, 0.3}
    assert all(set(setting) == set(trials.streams) for setting in best.values())
    assert (chooser.measured.full_searched.spent == chooser.measured.full_searched.whole).all()


def test_a_calibration_explains_itself(here: Experiment) -> None:
    result = here.calibrate(target_reduction=0.2)
    lines = result.explanation()
    assert lines[0] == f"frontier on the {result.thresholds.searched_on} samples of the search:"
    assert len(lines) >= 1 + len(result.frontier)
    drawn = result.frontier_to_draw()
    assert len(drawn.tried) == len(result.trials) and drawn.best
    assert result.thresholds.data == data_fingerprint(here)
    assert "decoder" in result.thresholds.in_words()[0]


def test_a_method_is_timed_against_the_full_model(here: Experiment) -> None:
    assert -20.0 < verified(here, here.method("full", {})) < 1.0
    assert machine(here).endswith("threads")


def test_a_benchmark_takes_samples_or_makes_them_up(here: Experiment, tmp_path: Path) -> None:
    setup = open_setup(here, "mue", None)
    assert setup.data == "pictures of shapes test" and setup.weights.endswith("safetensors")
    batches, milliseconds = setup.timed_batches(3)
    assert len(batches) == 3 and milliseconds > 0
    assert setup.batch([0, 1]).images.shape[0] == 2
    settings = ("data.image_size=32", "model.config.resnet_width=4")
    drawn = Experiment.open("shapes-caption", tmp_path / "none", "cpu", overrides=settings)
    assert open_setup(drawn, None, "nano").data == MADE_UP
    with pytest.raises(MueError, match=r"exits\.method is full"):
        open_setup(here, "full", None)


# Prediction.


def test_a_stream_of_pictures_keeps_their_order(here: Experiment, tmp_path: Path) -> None:
    stream = PictureStream.of(here, "full", Question())
    assert stream.title == "shapes-caption, method full"
    trouble = Unreadable("b.png", "not a picture")
    (one,) = here.predict([Image.effect_noise((40, 30), 60).convert("RGB")], "full")
    assert list(stream.results([trouble])) == [trouble]
    assert json.loads(json_line(trouble)) == {"image": "b.png", "error": "not a picture"}
    assert json.loads(json_line(one))["caption"] == one.text
    tokens = [*here.tokenizer.encode(" red"), here.tokenizer.eos_id]
    texts = token_texts(tokens, here.tokenizer)
    assert "".join(texts[:-1]) == " red" and len(texts) == len(tokens)
    assert isinstance(torch.tensor(one.exit_layers["decoder"]), torch.Tensor)
