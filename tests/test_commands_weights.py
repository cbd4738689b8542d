"""`--weights` and `mue export`: released files in, released files out."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import TINY
from PIL import Image
from released_files import golden_config, golden_state, write_fairseq, write_hf
from test_model_vocabulary import write_fairseq as write_bpe

from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.model import checkpoint
from mue_cli.model.convert import TIED, carried_shapes
from mue_cli.model.tokenizer import Tokenizer

CASE = "g1_base_style"


@pytest.fixture(scope="module")
def exported(mue, tiny_run: Run, tmp_path_factory) -> Path:
    """Return the tiny run's model in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("exported") / "hf"
    answer = mue("export", "--run", tiny_run.folder, "--out", folder, "--format", "hf")
    assert answer.code == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        str(folder / name)
        for name in ("config.json", "pytorch_model.bin", "vocab.json", "merges.txt")
    ]
    assert (
        "that only image generation uses were never learned here: written as zeros" in answer.stderr
    )
    return folder


def same_weights(a, b) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_an_exported_model_is_the_runs_own(exported, tiny_run: Run) -> None:
    model, own = (
        checkpoint.load(exported / "pytorch_model.bin"),
        checkpoint.load(tiny_run.checkpoint),
    )
    assert same_weights(model, own)
    assert model.carried.keys() == carried_shapes(own.config).keys()
    assert json.loads((exported / "config.json").read_text())["d_model"] == 24


def test_a_released_file_goes_through_unchanged(mue, tmp_path: Path) -> None:
    """fairseq in, Hugging Face out: every tensor as it was, those for image generation included."""
    state = golden_state(CASE)
    write_bpe(tmp_path / "fairseq")
    weights = write_fairseq(tmp_path / "fairseq" / "best.pt", state)
    answer = mue("export", "--weights", weights, "--out", tmp_path / "hf")
    assert answer.code == 2 and "knows 600 tokens, the vocabulary beside it has" in answer.stderr
    for path in (tmp_path / "fairseq").glob("*"):
        if path != weights:
            path.unlink()
    Tokenizer.train([], 260).save_bpe(tmp_path / "fairseq")
    vocab = json.loads((tmp_path / "fairseq" / "vocab.json").read_text())
    (tmp_path / "fairseq" / "vocab.json").write_text(
        json.dumps(vocab | {f"madeup{i}": 260 + i for i in range(340)})
    )
    answer = mue("export", "--weights", weights, "--out", tmp_path / "hf", "--json")
    assert answer.code == 0, answer.stderr
    assert json.loads(answer.stdout)["notes"] == []
    written = torch.load(tmp_path / "hf" / "pytorch_model.bin", weights_only=True)
    assert written.keys() == state.keys() | set(TIED)
    assert all(torch.equal(written[name], state[name]) for name in state)


def test_an_export_does_not_overwrite_a_folder_unasked(mue, exported, tiny_run: Run) -> None:
    answer = mue("export", "--run", tiny_run.folder, "--out", exported)
    assert answer.code == 2 and "exists and is not an empty folder" in answer.stderr
    assert mue("export", "--run", tiny_run.folder, "--out", exported, "--force").code == 0


def changed(settings: list[str], **changes: str) -> list[str]:
    return [
        *settings,
        *(
            word
            for key, value in changes.items()
            for word in ("--set", f"{key.replace('__', '.')}={value}")
        ),
    ]


@pytest.fixture(scope="module")
def settings_alone(tiny_data: Path) -> list[str]:
    """Return the tiny recipe's options without the model's sizes: weights bring their own."""
    wanted = [
        setting for setting in (*TINY, f"data.root={tiny_data}") if not setting.startswith("model.")
    ]
    return [word for setting in wanted for word in ("--set", setting)]


def test_thresholds_and_scores_need_no_training_run(
    mue, exported, tiny_run: Run, settings_alone, tmp_path: Path
) -> None:
    """calibrate and evaluate with --weights give what they give in the run that the weights come
    from.
    """
    words = [*settings_alone, "--run", tmp_path / "other", "--weights", exported]
    answer = mue("calibrate", "--target-reduction", 0.2, *words)
    assert answer.code == 0, answer.stderr
    assert f"--weights {exported}" in answer.stderr
    theirs, own = read_thresholds(Run(tmp_path / "other")), read_thresholds(tiny_run)
    assert theirs.conditions.weights == str(exported) and own.conditions.weights is None
    assert theirs.thresholds == own.thresholds and theirs.achieved == own.achieved
    answer = mue("evaluate", *words, "--json")
    assert answer.code == 0, answer.stderr
    own = json.loads(tiny_run.records.read_text().splitlines()[0])
    assert json.loads(answer.stdout)["record"]["scores"] == own["scores"]


def test_thresholds_of_other_weights_or_another_precision_are_refused(
    mue, exported, settings_alone, tmp_path: Path
) -> None:
    words = [*settings_alone, "--run", tmp_path / "other"]
    assert mue("calibrate", "--target-reduction", 0.2, *words, "--weights", exported).code == 0
    shutil.copytree(exported, tmp_path / "copy")
    answer = mue("evaluate", *words, "--weights", tmp_path / "copy")
    assert (
        answer.code == 2
        and f"was searched with the weights {exported}, now it is the weights {tmp_path / 'copy'}"
        in answer.stderr
    )
    answer = mue("evaluate", *words, "--weights", exported, "--set", "inference.precision=bfloat16")
    assert (
        answer.code == 2
        and "was searched with precision float32, now it is precision bfloat16" in answer.stderr
    )


def test_training_starts_from_weights_and_their_vocabulary(
    mue, exported, tiny_run: Run, settings_alone, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    words = changed(
        settings_alone,
        training__learning_rate="1e-12",
        training__weight_decay="0",
        training__freeze_resnet="true",
    )
    answer = mue("finetune", *words, "--weights", exported, "--run", run.folder)
    assert answer.code == 0, answer.stderr
    assert Tokenizer.load(run.tokenizer).to_json() == Tokenizer.load(tiny_run.tokenizer).to_json()
    before, after = checkpoint.load(tiny_run.checkpoint), checkpoint.load(run.checkpoint)
    assert all(
        torch.allclose(x, y, atol=1e-6)
        for x, y in zip(before.parameters(), after.parameters(), strict=True)
    )
    assert after.carried.keys() == carried_shapes(after.config).keys()
    again = mue("finetune", *words, "--weights", run.folder, "--run", tmp_path / "second")
    assert again.code == 0, again.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "model.preset=base",
            "is of another size than the preset base: embed_dim 24 instead of 768",
        ),
        ("model.preset=bse", "unknown model.preset `bse`"),
        ("model.config.embed_dim=48", "does not fit the model"),
        ("model.config.wings=2", "unknown key `model.config.wings` in recipe `shapes-caption`"),
        ("model.ema=true", "holds no averaged weights"),
        ("data.image_size=512", "is too large for the model's 16 image buckets"),
    ],
)
def test_settings_that_the_weights_contradict_are_errors(
    mue, exported, settings_alone, tmp_path: Path, setting: str, message: str
) -> None:
    answer = mue(
        "finetune",
        *settings_alone,
        "--set",
        setting,
        "--weights",
        exported,
        "--run",
        tmp_path / "run",
    )
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.stderr


@pytest.mark.parametrize(
    "setting",
    ["model.preset=base", "model.config.num_heads=2", "model.weights=other.pt", "model.ema=true"],
)
def test_a_trained_model_cannot_be_set_to_another(mue, tiny_run: Run, setting: str) -> None:
    """Its checkpoint would be used all the same, and the setting would do nothing."""
    for words in (["evaluate", "--method", "full"], ["export", "--out", tiny_run.folder / "never"]):
        answer = mue(*words, "--run", tiny_run.folder, "--set", setting)
        assert (answer.code, answer.stdout) == (2, "")
        assert f"the model differs from the one in `{tiny_run.recipe}`" in answer.stderr


def test_a_preset_that_is_asked_for_must_be_the_weights_own(
    mue, exported, settings_alone, tmp_path: Path
) -> None:
    words = [*settings_alone, "--run", tmp_path / "run", "--weights", exported, "--method", "full"]
    answer = mue("evaluate", *words, "--set", "model.preset=base")
    assert (
        answer.code == 2
        and "is of another size than the preset base: embed_dim 24 instead of 768" in answer.stderr
    )


@pytest.mark.parametrize("command", ["finetune", "evaluate", "export"])
def test_empty_weights_are_an_error_and_not_none(mue, tmp_path: Path, command: str) -> None:
    words = ("--out", tmp_path / "out") if command == "export" else ("--run", tmp_path / "run")
    answer = mue(command, *words, "--weights", "")
    assert (
        answer.code == 2
        and "error: --weights is empty, expected a file, a folder or a hub id" in answer.stderr
    )


def test_training_starts_from_a_folder_of_any_name(
    mue, exported, settings_alone, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "ofa 😀 'é\"")
    answer = mue("finetune", *settings_alone, "--weights", folder, "--run", tmp_path / "run")
    assert answer.code == 0, answer.stderr
    again = mue("finetune", "--resume", "--run", tmp_path / "run")
    assert again.code == 0, again.stderr


def test_exporting_weights_has_nothing_to_do_with_a_run(
    mue, exported, tiny_run: Run, tmp_path: Path, monkeypatch
) -> None:
    """The run folder that is meant without --run may have a checkpoint, and a recipe of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run.folder, "runs/shapes-caption")
    recipe = Path("runs/shapes-caption/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("embed_dim: 24", "embed_dim: 48"))
    answer = mue("export", "--weights", exported, "--out", "out")
    assert answer.code == 0, answer.stderr
    assert same_weights(
        checkpoint.load(Path("out/pytorch_model.bin")),
        checkpoint.load(exported / "pytorch_model.bin"),
    )
    answer = mue("export", "--weights", exported, "--run", tiny_run.folder, "--out", "other")
    assert answer.code == 2 and "--weights and --run each name a model" in answer.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors"])
def test_an_export_beside_weights_that_would_be_taken_first_is_refused(
    mue, tiny_run: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    answer = mue("export", "--run", tiny_run.folder, "--out", tmp_path, "--force")
    assert (
        answer.code == 2
        and f"`{tmp_path / name}` is there, and --weights would take it" in answer.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "model.config.dropout=much",
            '`dropout` in model.config is "much", expected a number, from 0 to 1',
        ),
        (
            "model.config.num_heads=0",
            "`num_heads` in model.config is 0, expected a whole number, from 1 to 4096",
        ),
    ],
)
def test_sizes_that_make_no_sense_are_errors_for_new_models_and_for_weights(
    mue, exported, tiny_settings, settings_alone, tmp_path: Path, setting: str, message: str
) -> None:
    for words in (tiny_settings, [*settings_alone, "--weights", exported]):
        answer = mue("finetune", *words, "--set", setting, "--run", tmp_path / "run")
        assert answer.code == 2 and message in answer.stderr


def test_a_vocabulary_without_the_answers_cannot_judge(mue, settings_alone, tmp_path: Path) -> None:
    """The first piece of " yes" and of " no" may be the same: every answer would be."""
    folder = write_hf(tmp_path / "captions", golden_state(CASE), golden_config(CASE))
    Tokenizer.train([], 260).save_bpe(folder)
    vocab = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(
        json.dumps(vocab | {f"madeup{i}": 260 + i for i in range(340)})
    )
    Image.new("RGB", (32, 32)).save(tmp_path / "red.png")
    recipe = [
        "--recipe",
        "shapes-entailment",
        *settings_alone,
        "--weights",
        folder,
        "--run",
        tmp_path / "run",
    ]
    for words in (
        ["predict", tmp_path / "red.png", "--hypothesis", "it is red", "--method", "full"],
        ["evaluate", "--method", "full"],
        ["finetune"],
    ):
        answer = mue(*words, *recipe)
        assert (
            answer.code == 2
            and "the model's vocabulary has no token for the answer `" in answer.stderr
        )


def test_weights_beside_a_runs_own_checkpoint_are_refused(mue, exported, tiny_run: Run) -> None:
    for command in ("evaluate", "calibrate"):
        answer = mue(command, "--run", tiny_run.folder, "--weights", exported)
        assert (
            answer.code == 2
            and "has its own checkpoint, and --weights names another" in answer.stderr
        )


def test_weights_that_are_not_there_are_one_line_and_a_hint(mue, tmp_path: Path) -> None:
    answer = mue("export", "--weights", tmp_path / "absent.pt", "--out", tmp_path / "out")
    assert answer.code == 2 and f"error: no weights at `{tmp_path / 'absent.pt'}`" in answer.stderr
    write_hf(tmp_path / "bare", golden_state(CASE), golden_config(CASE))
    answer = mue("export", "--weights", tmp_path / "bare", "--out", tmp_path / "out")
    assert answer.code == 2 and "no vocabulary beside the weights" in answer.stderr
