"""`mue finetune` for the methods that train more than a model with shared exits: what it writes,
keeps and refuses.
"""

import errno
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mue_cli import Experiment
from mue_cli.data.images import preprocess
from mue_cli.errors import CheckpointError, MissingStepError
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.experiment import run_folder as runs
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.second_stage import train_heads
from mue_cli.experiment.training_data import DOUBTED
from mue_cli.model import checkpoint
from mue_cli.model.resnet import ResNet
from mue_cli.model.tensor_file import open_tensors
from mue_cli.recipe import recipe as recipes

CPU = torch.device("cpu")


def contents(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}


def train_deebert(mue, run: Run, steps: int):
    """Train internal classifiers on the checkpoint of a run."""
    words = ["finetune", "--run", run.folder, "--method", "deebert"]
    return mue(*words, "--set", f"training.steps={steps}")


def readout(run: Run, method: str):
    return Experiment.open(run=run.folder, device="cpu").exit_head(method)


@pytest.fixture
def copied_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a run folder that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "copied")
    return Run(tmp_path / "copied")


@pytest.fixture
def copied_answers(tiny_demo, tmp_path: Path) -> Run:
    """Return a run folder of the entailment task that a test may change."""
    shutil.copytree(tiny_demo[1] / "runs" / "shapes-entailment", tmp_path / "answers")
    return Run(tmp_path / "answers")


@pytest.fixture(scope="module")
def pabee_run(mue, tiny_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run with heads trained beside the model. Tests must not change it."""
    run = Run(tmp_path_factory.mktemp("runs") / "pabee")
    answer = mue("finetune", *tiny_settings, "--method", "pabee", "--run", run.folder, "--json")
    assert answer.code == 0, answer.stderr
    assert json.loads(answer.stdout)["exit_head"] == str(run.exit_head("pabee"))
    return run


def test_pabee_writes_its_heads_beside_the_checkpoint_and_its_name_into_the_recipe(
    pabee_run: Run,
) -> None:
    assert {path.name for path in pabee_run.folder.glob("[!.]*")} == {
        *(
            "recipe.yaml",
            "tokenizer.json",
            "checkpoint.safetensors",
            "pabee.safetensors",
            "last.pt",
            "train.jsonl",
        )
    }
    assert recipes.load(pabee_run.recipe).exits.method == "pabee"
    heads, config = readout(pabee_run, "pabee"), checkpoint.sizes(pabee_run.checkpoint)
    assert isinstance(heads, LayerHeads)
    assert len(heads.heads) == config.num_decoder_layers - 1
    assert heads.heads[0].weight.shape == (config.vocab_size, config.embed_dim)


def test_deecap_writes_its_imitation_network_beside_the_checkpoint(
    mue, tiny_settings, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    answer = mue(
        "finetune",
        *tiny_settings,
        "--method",
        "deecap",
        "--set",
        "training.steps=2",
        "--run",
        run.folder,
    )
    assert answer.code == 0, answer.stderr
    assert isinstance(readout(run, "deecap"), ImitationHead)


@pytest.mark.parametrize("method", ["static", "calm"])
def test_methods_with_the_shared_head_write_a_checkpoint_alone(
    mue, tiny_settings, tmp_path: Path, method: str
) -> None:
    run = Run(tmp_path / "run")
    words = ["--set", "training.steps=1", "--set", "training.layer_loss=weighted"]
    assert (
        mue("finetune", *tiny_settings, *words, "--method", method, "--run", run.folder).code == 0
    )
    assert recipes.load(run.recipe).exits.method == method
    assert readout(run, method) is None
    assert [path.name for path in run.folder.glob("*.safetensors")] == ["checkpoint.safetensors"]


def test_resuming_takes_the_heads_along(mue, pabee_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "resumed")
    shutil.copytree(pabee_run.folder, run.folder)
    answer = mue("finetune", "--run", run.folder, "--resume", "--set", "training.steps=6")
    note = "note: training.steps 4 up to here, training.steps 6 from here on"
    assert note in answer.stderr, "the learning rate falls with them"
    assert answer.code == 0 and "going on after step 4 of 6" in answer.stderr
    state = torch.load(run.last_state, weights_only=True)
    assert state["step"] == 6 and state["head"].keys() == readout(run, "pabee").state_dict().keys()


def test_a_finished_training_is_not_resumed_with_other_settings(mue, copied_run: Run) -> None:
    recipe, weights = copied_run.recipe.read_bytes(), copied_run.checkpoint.read_bytes()
    words = ["finetune", "--run", copied_run.folder, "--resume", "--set", "training.layer_loss=sum"]
    answer = mue(*words)
    assert answer.code == 2
    first, hint = answer.stderr.strip().splitlines()[-2:]
    assert 'is done, 4 steps with training.layer_loss "mean"; now it is ' in first
    assert first.endswith('training.layer_loss "sum"') and hint.endswith("--force trains anew")
    assert copied_run.recipe.read_bytes() == recipe
    assert copied_run.checkpoint.read_bytes() == weights
    more = mue(*words, "--set", "training.steps=5")
    assert more.code == 0
    assert 'note: training.layer_loss "mean" up to here, training.layer_loss "sum"' in more.stderr


@pytest.mark.parametrize("method", ["mue", "deecap"])
def test_resuming_cannot_change_what_is_trained(mue, pabee_run: Run, method: str) -> None:
    answer = mue("finetune", "--run", pabee_run.folder, "--resume", "--method", method)
    assert answer.code == 2
    assert f"error: `{pabee_run.recipe}` says the method pabee, now it is {method}" in answer.stderr
    assert "hint: go on with --method pabee" in answer.stderr


def test_training_anew_removes_heads_of_the_former_model(
    mue, pabee_run: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "anew")
    shutil.copytree(pabee_run.folder, run.folder)
    assert (
        mue(
            "finetune",
            "--run",
            run.folder,
            "--force",
            "--method",
            "full",
            "--set",
            "training.steps=1",
        ).code
        == 0
    )
    assert not run.exit_head("pabee").exists()


def test_second_stage_changes_no_file_of_the_run_and_adds_two(mue, copied_run: Run) -> None:
    before = contents(copied_run)
    words = [
        "--method",
        "deebert",
        "--set",
        "training.steps=3",
        "--set",
        "training.learning_rate=0.01",
    ]
    answer = mue("finetune", "--run", copied_run.folder, *words)
    assert answer.code == 0, answer.stderr
    assert answer.stdout.startswith(
        f"{copied_run.exit_head('deebert')}: best accuracy of the heads "
    )
    assert f"next: mue calibrate --run {copied_run.folder} --method deebert" in answer.stderr
    after = contents(copied_run)
    assert {name: after.pop(name) for name in before} == before
    assert set(after) == {"deebert.safetensors", "train-deebert.jsonl"}
    assert [json.loads(line)["step"] for line in after["train-deebert.jsonl"].splitlines()] == [
        1,
        2,
        3,
    ]


def test_second_stage_trains_the_heads_of_the_checkpoint(mue, copied_run: Run) -> None:
    assert train_deebert(mue, copied_run, 2).code == 0
    heads, model = readout(copied_run, "deebert"), checkpoint.load(copied_run.checkpoint)
    weight = heads.heads[0].weight
    assert not torch.equal(weight, model.decoder.embed_tokens.weight)
    assert (weight - model.decoder.embed_tokens.weight).abs().max() < 0.01, (
        "two small steps away from where they started"
    )


def test_heads_of_a_closed_set_have_a_class_per_answer(mue, copied_answers: Run) -> None:
    answer = mue(
        "finetune",
        "--run",
        copied_answers.folder,
        "--method",
        "deebert",
        "--set",
        "training.steps=2",
        "--json",
    )
    assert answer.code == 0, answer.stderr
    assert json.loads(answer.stdout)["exit_head"] == str(copied_answers.exit_head("deebert"))
    assert open_tensors(copied_answers.exit_head("deebert")).shapes["heads.0.weight"] == (3, 24)


def test_second_stage_without_a_model_names_the_first(mue, tiny_settings, tmp_path: Path) -> None:
    words = [*tiny_settings, "--run", tmp_path / "run", "--set", "training.steps=3"]
    for method in (["--method", "deebert"], ["--set", "exits.method=deebert"]):
        answer = mue("finetune", *words, *method)
        assert answer.code == 2
        assert f"error: no checkpoint.safetensors in `{tmp_path / 'run'}`" in answer.stderr
        assert (
            "hint: run: mue finetune --method full " in answer.stderr
            and "training.steps" not in answer.stderr
        )


def test_second_stage_is_not_repeated_unasked(mue, copied_run: Run) -> None:
    words = [
        "finetune",
        "--run",
        copied_run.folder,
        "--method",
        "deebert",
        "--set",
        "training.steps=1",
    ]
    assert mue(*words).code == 0
    again = mue(*words)
    assert again.code == 2
    assert f"error: `{copied_run.exit_head('deebert')}` is there already" in again.stderr
    assert "hint: --force trains it anew" in again.stderr
    assert mue(*words, "--force").code == 0
    assert len(copied_run.second_log("deebert").read_text().splitlines()) == 1


def test_second_stage_that_is_finished_is_not_resumed(mue, copied_run: Run) -> None:
    words = [
        "finetune",
        "--run",
        copied_run.folder,
        "--method",
        "deebert",
        "--set",
        "training.steps=1",
        "--resume",
    ]
    first = mue(*words)
    assert first.code == 0 and "trained in one go: starting from the first step" in first.stderr
    before = contents(copied_run)
    again = mue(*words)
    assert again.code == 2
    assert f"error: `{copied_run.exit_head('deebert')}` is there already" in again.stderr
    assert contents(copied_run) == before


@pytest.mark.parametrize("step", [1, 3], ids=["before the first validation", "after it"])
def test_second_stage_that_is_stopped_leaves_heads_with_their_own_results(
    mue, copied_run: Run, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    words = [
        "finetune",
        "--run",
        copied_run.folder,
        "--method",
        "deebert",
        "--force",
        "--set",
        "training.steps=4",
    ]
    assert mue(*words, "--set", "training.validate_every=4").code == 0
    (copied_run.folder / "thresholds-deebert.yaml").touch()
    before = contents(copied_run)
    real = runs.append_line

    def interrupted(path: Path, values: dict[str, object]) -> None:
        real(path, values)
        if values["step"] == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "append_line", interrupted)
    assert mue(*words, "--set", "training.validate_every=2").code == 130
    after = contents(copied_run)
    if step == 1:
        assert after == before
    else:
        assert after.keys() == before.keys() - {"thresholds-deebert.yaml"}
        assert len(after["train-deebert.jsonl"].splitlines()) == 3
        assert after["deebert.safetensors"] != before["deebert.safetensors"]


@pytest.mark.parametrize("fails", ["exit_heads.save", "clearing.write_text"])
def test_heads_that_cannot_be_written_leave_everything_as_it_was(
    copied_run: Run, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A full disk, at either of the two things that are written."""
    experiment = Experiment.open(
        run=copied_run.folder, overrides=["training.steps=1"], device="cpu"
    )
    train_heads(experiment, CATALOGUE["deebert"])
    (copied_run.folder / "thresholds-deebert.yaml").touch()
    before = contents(copied_run)

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"mue_cli.experiment.{fails}", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train_heads(experiment, CATALOGUE["deebert"], force=True)
    assert contents(copied_run) == before


def test_new_heads_take_only_their_own_results_with_them(mue, copied_run: Run) -> None:
    words = [
        "finetune",
        "--run",
        copied_run.folder,
        "--method",
        "deebert",
        "--set",
        "training.steps=1",
    ]
    lines = copied_run.records.read_text().splitlines(keepends=True)
    copied_run.records.write_text(
        "".join([*lines, lines[0].replace('"method": "mue"', '"method": "deebert"')])
    )
    (copied_run.folder / "thresholds-deebert.yaml").touch()
    assert mue(*words).code == 0
    assert copied_run.records.read_text() == "".join(lines)
    assert (
        copied_run.thresholds.exists()
        and not (copied_run.folder / "thresholds-deebert.yaml").exists()
    )


@pytest.mark.parametrize(
    "words",
    [["--force", "--set", "seed=1"], ["--resume", "--set", "training.steps=6"]],
    ids=["anew", "on"],
)
def test_heads_go_when_the_model_under_them_changes(mue, copied_run: Run, words: list[str]) -> None:
    assert train_deebert(mue, copied_run, 1).code == 0
    before = copied_run.checkpoint.read_bytes()
    assert mue("finetune", "--run", copied_run.folder, *words).code == 0
    stayed = copied_run.checkpoint.read_bytes() == before
    assert copied_run.exit_head("deebert").exists() == stayed
    assert copied_run.second_log("deebert").exists() == stayed
    assert stayed == ("--resume" in words), "two more steps of this training are no better"


def test_second_stage_cannot_change_the_model(mue, copied_run: Run) -> None:
    answer = mue(
        "finetune",
        "--run",
        copied_run.folder,
        "--method",
        "deebert",
        "--set",
        "model.config.embed_dim=48",
    )
    assert answer.code == 2 and "the model differs from the one in" in answer.stderr


def test_a_readout_that_was_not_trained_names_the_command(tiny_run: Run) -> None:
    with pytest.raises(MissingStepError) as caught:
        readout(tiny_run, "deebert")
    assert caught.value.message == f"no deebert.safetensors in `{tiny_run.folder}`"
    assert caught.value.hint == f"run: mue finetune --method deebert --run {tiny_run.folder}"
    with pytest.raises(MissingStepError) as caught:
        readout(tiny_run, "pabee")
    assert (
        caught.value.hint
        == "it is trained with the model: mue finetune --method pabee --run ANOTHER-FOLDER"
    )


def test_a_readout_of_another_model_is_refused(copied_answers: Run, pabee_run: Run) -> None:
    shutil.copy(pabee_run.exit_head("pabee"), copied_answers.exit_head("pabee"))
    with pytest.raises(
        CheckpointError,
        match="the model needs internal classifiers for 4 layers, 24 dimensions and 3 classes",
    ):
        readout(copied_answers, "pabee")


def test_a_single_decoder_layer_has_nowhere_to_leave(mue, tiny_settings, tmp_path: Path) -> None:
    words = [
        "--set",
        "model.config.num_decoder_layers=1",
        "--method",
        "pabee",
        "--run",
        tmp_path / "run",
    ]
    answer = mue("finetune", *tiny_settings, *words)
    assert answer.code == 2
    assert (
        "error: the method pabee needs a layer to leave after, the model has one decoder layer"
        in answer.stderr
    )
    assert "hint: take a deeper model" in answer.stderr
    assert not Run(tmp_path / "run").recipe.exists()


def test_no_decompose_trains_and_evaluates_one_joint_stream(
    mue, tiny_settings: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "joint"
    assert mue("finetune", "--no-decompose", *tiny_settings, "--run", run).code == 0
    assert recipes.load(run / "recipe.yaml").model.decompose is False
    assert (
        mue(
            "evaluate",
            "--method",
            "static",
            "--set",
            "exits.joint=2",
            "--set",
            "exits.decoder=2",
            "--run",
            run,
        ).code
        == 0
    )
    record = Run(run)
    assert {tuple(trace.encoder_exits.items()) for trace in runs.read_traces(record).traces} == {
        (("joint", 2),)
    }


def test_decomposition_can_be_changed_for_an_evaluation_alone(
    mue, tiny_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "own")
    words = [
        "--no-decompose",
        "--method",
        "static",
        "--set",
        "exits.joint=1",
        "--set",
        "exits.decoder=1",
    ]
    assert mue("evaluate", *words, "--run", tmp_path / "own").code == 0
    assert runs.records(Run(tmp_path / "own"))[-2].settings["decompose"] is False


def test_stopped_before_the_first_validation_it_names_what_there_is(
    mue, tiny_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights are kept yet, or another training's: the state alone."""
    real = runs.append_line

    def stopped(path: Path, values) -> None:
        real(path, values)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(runs, "append_line", stopped)
    run = tmp_path / "run"
    answer = mue("finetune", *tiny_settings, "--run", run)
    assert answer.code == 143
    assert f"stopped: kept {run}/last.pt (not validated yet); to go on: mue finet" in answer.stderr
    assert (run / "last.pt").exists() and not (run / "checkpoint.safetensors").exists()


def test_resnet_weights_that_want_other_pixels_are_a_note(
    mue, tiny_settings: list[str], tmp_path: Path
) -> None:
    """The norm knows these pictures as (x - 0.5) / 0.5; the recipe says imagenet unless told."""
    settings = [word for word in tiny_settings if word != "--set"]
    pictures = Experiment.open(overrides=settings).data.pictures(32)
    images = preprocess([pictures[row] for row in range(DOUBTED)], 32)
    torch.manual_seed(0)
    trunk = ResNet((1, 1, 1), 4)
    with torch.no_grad():
        answer = trunk.conv1(images)
    trunk.bn1.running_mean.copy_(answer.mean((0, 2, 3)))
    trunk.bn1.running_var.copy_(answer.var((0, 2, 3)))
    save_file(trunk.state_dict(), tmp_path / "resnet.safetensors")
    words = ["finetune", *tiny_settings, "--set", "training.steps=1", "--set"]
    words += [f"model.resnet_weights={tmp_path / 'resnet.safetensors'}", "--run"]
    doubted = mue(*words, tmp_path / "a")
    assert doubted.code == 0
    note = "note: with model.resnet_pixels=imagenet the ResNet answers 2."
    assert note in doubted.stderr and "with half it would be 1.0 times" in doubted.stderr
    right = mue(*words, tmp_path / "b", "--set", "model.resnet_pixels=half")
    assert right.code == 0 and "resnet_pixels" not in right.stderr.partition("next: ")[0]
