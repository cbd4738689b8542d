"""Where a training begins, and what of an earlier one that may cost: nothing unasked."""

import shutil
from pathlib import Path

import pytest

from mue_cli import Experiment
from mue_cli.errors import MueError, RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.training_files import BEFORE, TrainingFiles, settle
from mue_cli.experiment.training_start import check_data, place


@pytest.fixture
def here(copied_run: Run) -> Experiment:
    """Return a small trained run that a test may change."""
    return Experiment.open(run=copied_run.folder, device="cpu")


def contents(run: Run) -> dict[str, bytes]:
    files = (path for path in run.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in files}


def begun(here: Experiment, state: bytes = b"") -> TrainingFiles:
    """Begin a training with --force; it keeps a state where one is given."""
    files, resumed = place(here, resume=False, force=True)
    assert resumed is None
    files.begin(here.recipe, here.run.tokenizer.read_text())
    if state:
        files.keep_state({"state": state})
    return files


# What is refused.


def test_resuming_without_a_state_costs_no_checkpoint(here: Experiment) -> None:
    here.run.last_state.unlink()
    before = contents(here.run)
    with pytest.raises(MueError, match=r"no last\.pt to go on from") as caught:
        place(here, resume=True, force=False)
    assert "--force" in (caught.value.hint or "")
    assert contents(here.run) == before
    assert place(here, resume=True, force=True)[0].is_beside


def test_a_stopped_training_is_not_begun_anew_unasked(here: Experiment) -> None:
    here.run.checkpoint.unlink()
    before = contents(here.run)
    with pytest.raises(MueError, match="holds a training that was stopped") as caught:
        place(here, resume=False, force=False)
    assert "--resume" in (caught.value.hint or "") and "--force" in (caught.value.hint or "")
    assert contents(here.run) == before


def test_refusals_reach_the_command_line(mue, here: Experiment) -> None:
    run = here.run
    run.checkpoint.rename(run.folder / "away")
    stopped = mue("finetune", "--run", run.folder)
    assert stopped.code == 2 and f"--run {run.folder} --resume goes on" in stopped.stderr
    run.last_state.unlink()
    (run.folder / "away").rename(run.checkpoint)
    before = run.checkpoint.read_bytes()
    resumed = mue("finetune", "--run", run.folder, "--resume")
    assert resumed.code == 2 and f"--run {run.folder} --force trains anew" in resumed.stderr
    assert run.checkpoint.read_bytes() == before


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "last.pt"])
def test_a_link_to_nowhere_is_an_earlier_training_too(here: Experiment, name: str) -> None:
    here.run.checkpoint.unlink()
    here.run.last_state.unlink()
    (here.run.folder / name).symlink_to("gone")
    with pytest.raises(MueError):
        place(here, resume=False, force=False)


def test_a_folder_without_weights_and_state_is_trained_in(here: Experiment) -> None:
    here.run.checkpoint.unlink()
    here.run.last_state.unlink()
    for resume in (False, True):
        files, state = place(here, resume, force=False)
        assert state is None and files.run == here.run and not files.is_beside


# What --force keeps until it can go.


def test_a_stopped_training_goes_when_the_new_one_has_weights(here: Experiment) -> None:
    run, old = here.run, here.run.last_state.read_bytes()
    run.checkpoint.unlink()
    files = begun(here, b"new")
    assert run.last_state.read_bytes() == old and files.run.last_state.exists()
    new = files.run.last_state.read_bytes()
    files.keep_weights(lambda path: path.write_bytes(b"weights") and None, None, "mue")
    assert run.checkpoint.read_bytes() == b"weights" and run.last_state.read_bytes() == new


def test_force_twice_keeps_the_first_until_the_second_could_be_gone_on_with(
    here: Experiment,
) -> None:
    run = here.run
    first = begun(here, b"first").run.last_state.read_bytes()
    second = begun(here)
    assert not run.beside.last_state.exists()
    settle(run)  # killed before it kept anything
    assert run.beside.last_state.read_bytes() == first
    second = begun(here)
    second.keep_state({"state": b"second"})
    assert run.beside.last_state.read_bytes() != first
    assert not (run.folder / BEFORE).exists()


@pytest.mark.parametrize("moment", ["kept a state", "has weights"])
def test_what_waits_goes_where_a_kill_left_it(here: Experiment, moment: str) -> None:
    run = here.run
    begun(here, b"first")
    files = begun(here)
    waiting = shutil.copytree(run.folder / BEFORE, run.folder.parent / "waiting")
    if moment == "kept a state":
        files.keep_state({"state": b"second"})
    else:
        files.keep_weights(lambda path: path.write_bytes(b"weights") and None, None, "mue")
    assert not (run.folder / BEFORE).exists()
    if moment == "kept a state":
        kept = run.beside.last_state.read_bytes()
        waiting.rename(run.folder / BEFORE)
        settle(run)
        assert run.beside.last_state.read_bytes() == kept and not (run.folder / BEFORE).exists()


def test_a_forced_training_that_kept_nothing_is_gone_on_with_beside(here: Experiment) -> None:
    before = contents(here.run)
    begun(here)
    files, state = place(here, resume=True, force=False)
    assert files.is_beside and state is None
    assert before.items() <= contents(here.run).items()


def test_what_can_be_gone_on_with_is_seen_beside_too(here: Experiment) -> None:
    run = here.run
    assert run.is_begun
    run.last_state.unlink()
    assert not run.is_begun
    begun(here, b"new")
    assert run.is_begun


# The data.


def test_a_training_goes_on_with_its_own_data_alone(here: Experiment) -> None:
    tokenizer, run = here.tokenizer, here.run
    check_data(here, run, tokenizer, {"step": 4, "data": here.data.fingerprint})
    check_data(here, run, tokenizer, {"step": 4})  # of a former version
    check_data(here, run, tokenizer, None)
    with pytest.raises(RecipeError, match="holds other data"):
        check_data(here, run, tokenizer, {"step": 4, "data": "0" * 64})


def test_data_that_moved_is_gone_on_with_and_other_data_is_not(
    mue, copied_run: Run, tiny_data: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(tiny_data, tmp_path / "moved")
    words = ["finetune", "--run", copied_run.folder, "--resume", "--set", f"data.root={moved}"]
    assert mue(*words, "--set", "training.steps=5").code == 0
    manifest = moved / "manifest.json"
    text = manifest.read_text()
    digest = text.split('"images/data-00000.arrow": "')[1][:64]
    manifest.write_text(text.replace(digest, "0" * 64))
    before = contents(copied_run)
    answer = mue(*words, "--set", "training.steps=6")
    assert answer.code == 2 and "hint: name the folder that it began with" in answer.stderr
    after = contents(copied_run)
    assert all(before[name] == after[name] for name in ("last.pt", "recipe.yaml", "train.jsonl"))
