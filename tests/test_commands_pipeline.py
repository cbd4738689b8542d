"""The commands one after the other on a tiny experiment: what each says and leaves behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import ENTAILMENT
from mue_cli.experiment import run_folder as runs
from mue_cli.experiment.calibrate import saturation
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.inputs import about_of
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.recipe import recipe as recipes
from mue_cli.reports.saturation import Saturation


@pytest.fixture
def copied_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a run folder that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "copied")
    return Run(tmp_path / "copied")


def test_prepared_folder_says_what_is_inside(mue, tmp_path: Path) -> None:
    words = ["--train", 12, "--val", 3, "--test", 3, "--vocab-size", 320, "--image-size", 32]
    answer = mue("prepare", "shapes", "--out", tmp_path / "shapes", *words)
    assert answer.code == 0
    assert "caption     test        3                 15" in answer.stdout
    assert "entailment without looking" in answer.stdout
    assert answer.stdout.splitlines()[-1] == str(tmp_path / "shapes")


def test_prepare_json_is_one_document_and_nothing_else(mue, tmp_path: Path) -> None:
    words = [
        "--train",
        12,
        "--val",
        3,
        "--test",
        3,
        "--vocab-size",
        320,
        "--image-size",
        32,
        "--json",
    ]
    document = json.loads(mue("prepare", "shapes", "--out", tmp_path / "shapes", *words).stdout)
    assert document["counts"]["caption"]["val"] == {"images": 3, "captions": 15}


def test_run_folder_holds_all_that_was_promised(tiny_run: Run) -> None:
    promised = {"recipe.yaml", "tokenizer.json", "checkpoint.safetensors", "last.pt", "train.jsonl"}
    promised |= {
        "thresholds.yaml",
        "calibration.jsonl",
        "trials.jsonl",
        "promises.jsonl",
        "saturation.npz",
        "records.jsonl",
        "traces.jsonl",
        "predictions.json",
    }
    assert {path.name for path in tiny_run.folder.iterdir()} - {".lock"} == promised


def test_recipe_in_the_run_folder_holds_the_overrides(tiny_run: Run) -> None:
    assert recipes.load(tiny_run.recipe).training.steps == 4


def test_train_log_has_a_line_per_step_with_a_score_where_it_validated(tiny_run: Run) -> None:
    lines = [
        json.loads(line) for line in tiny_run.train_log.read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["score"] is not None for line in lines] == [False, True, False, True]


def test_thresholds_reach_the_target(tiny_run: Run) -> None:
    found = read_thresholds(tiny_run)
    assert set(found.thresholds) == {"image", "text", "decoder"}
    assert (found.target, found.metric, found.split, found.samples) == (0.2, "CIDEr", "val", 4)
    assert found.achieved >= 0.2


def test_calibration_logs_every_setting_it_ran_the_full_model_first(tiny_run: Run) -> None:
    tried = runs.read_tried(tiny_run)
    assert 2 <= len(tried) <= 5
    assert tried[0].reduction == 0.0


def test_evaluate_records_the_full_model_beside_the_method(tiny_run: Run) -> None:
    records = {record.method: record for record in runs.records(tiny_run)}
    assert set(records) == {"full", "mue"}
    assert records["full"].costs["expected"] == 0.0
    assert "measured" in records["mue"].costs and "flops" in records["mue"].costs
    assert records["mue"].settings["thresholds"] == read_thresholds(tiny_run).thresholds


def test_times_of_a_record_are_those_that_its_reduction_is_made_of(tiny_run: Run) -> None:
    costs = next(each.costs for each in runs.records(tiny_run) if each.method == "mue")
    reduction = 1 - costs["latency_ms"] / costs["full_latency_ms"]
    assert costs["measured"] == pytest.approx(reduction, abs=1e-12)


def test_traces_and_predictions_are_of_the_evaluated_samples(tiny_run: Run) -> None:
    predictions = json.loads(tiny_run.predictions.read_text(encoding="utf-8"))
    assert [set(prediction) for prediction in predictions] == [
        {"evaluation", "image_id", "caption", "full", "tokens"}
    ] * 4
    words = ["".join(each["tokens"]).removesuffix("</s>").strip() for each in predictions]
    assert words == [prediction["caption"] for prediction in predictions]
    assert [trace.sample_id for trace in runs.read_traces(tiny_run).traces] == [
        prediction["image_id"] for prediction in predictions
    ]


def test_every_evaluation_runs_the_full_model_anew(mue, copied_run: Run) -> None:
    """A record of other weights or other data must never stand in for it."""
    predictions, traces = copied_run.predictions.read_bytes(), copied_run.traces.read_bytes()
    mue("evaluate", "--run", copied_run.folder)
    lines = copied_run.records.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["mue", "full", "mue", "full"]
    # The same command gives the same bytes, and what it evaluated counts once.
    assert predictions == copied_run.predictions.read_bytes()
    assert traces == copied_run.traces.read_bytes()
    assert [record.method for record in runs.records(copied_run)] == ["mue", "full"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.preset=nanno", "unknown model.preset"),
        ("model.config.num_heads=5", "5 heads cannot share 24 dimensions"),
        ("data.image_size=480", "data.image_size 480 is too large"),
        ("exits.beta=0", "exits.beta"),
    ],
)
def test_a_forced_training_that_cannot_start_keeps_the_old_one(
    mue, copied_run: Run, setting: str, message: str
) -> None:
    before = {
        path.name: path.read_bytes() for path in copied_run.folder.iterdir() if path.is_file()
    }
    answer = mue("finetune", "--force", "--run", copied_run.folder, "--set", setting)
    assert answer.code == 2
    assert message in answer.stderr
    assert {
        path.name: path.read_bytes() for path in copied_run.folder.iterdir() if path.is_file()
    } == before


def test_a_resumed_training_refuses_another_vocabulary(mue, copied_run: Run) -> None:
    copied_run.tokenizer.write_text("{}")
    answer = mue("finetune", "--resume", "--run", copied_run.folder, "--set", "training.steps=6")
    assert answer.code == 2
    assert "vocabulary" in answer.stderr


def test_resuming_drops_results_once_the_weights_are_others(mue, copied_run: Run) -> None:
    """They stay as long as the checkpoint that they were made with does."""
    before = copied_run.checkpoint.read_bytes()
    assert (
        mue("finetune", "--resume", "--run", copied_run.folder, "--set", "training.steps=6").code
        == 0
    )
    kept = copied_run.checkpoint.read_bytes() == before
    results = (copied_run.thresholds, copied_run.records, copied_run.saturation)
    assert [path.exists() for path in results] == [kept] * 3
    assert "steps: 6" in copied_run.recipe.read_text()


def test_thresholds_are_not_used_with_another_decay(mue, copied_run: Run) -> None:
    answer = mue("evaluate", "--run", copied_run.folder, "--set", "exits.beta=0.5")
    assert answer.code == 2
    assert (
        "was searched with beta 0.9, tau 1, full_depth_steps 0, now it is beta 0.5" in answer.stderr
    )
    assert "mue calibrate" in answer.stderr


def test_thresholds_are_not_used_with_another_policy_for_skipped_layers(
    mue, copied_run: Run
) -> None:
    answer = mue("evaluate", "--run", copied_run.folder, "--set", "exits.skipped_layers=copy")
    assert answer.code == 2
    assert (
        "was searched with skipped_layers project, now it is skipped_layers copy" in answer.stderr
    )
    assert "mue calibrate" in answer.stderr


def test_a_file_is_no_run_folder(mue, tmp_path) -> None:
    (tmp_path / "file").touch()
    answer = mue("evaluate", "--run", tmp_path / "file")
    assert answer.code == 2
    assert "is a file" in answer.stderr


def test_evaluate_prints_three_reductions_side_by_side(mue, copied_run: Run) -> None:
    answer = mue("evaluate", "--run", copied_run.folder)
    header = next(line for line in answer.stdout.splitlines() if line.startswith("method"))
    assert header.split()[3:7] == ["CIDEr", "expected", "FLOPs", "measured"]


def test_evaluate_json_is_one_document_and_nothing_else(mue, copied_run: Run) -> None:
    document = json.loads(mue("evaluate", "--run", copied_run.folder, "--json").stdout)
    assert (document["record"]["method"], document["full"]["method"]) == ("mue", "full")


def test_static_method_leaves_at_the_layers_of_the_recipe(mue, copied_run: Run) -> None:
    words = [
        "--set",
        "exits.image=2",
        "--set",
        "exits.text=3",
        "--set",
        "exits.decoder=4",
        "--set",
        "exits.skipped_layers=recompute",
    ]
    record = json.loads(
        mue("evaluate", "--run", copied_run.folder, "--method", "static", *words, "--json").stdout
    )["record"]
    assert [record["costs"][f"{stream}_layers"] for stream in ("image", "text", "decoder")] == [
        2.0,
        3.0,
        4.0,
    ]
    assert record["settings"]["skipped_layers"] == "recompute"


def test_static_method_without_layers_says_how_to_give_them(mue, tiny_run: Run) -> None:
    answer = mue("evaluate", "--run", tiny_run.folder, "--method", "static")
    assert answer.code == 2
    assert (
        "error: the method static needs an exit layer for each of image, text, decoder"
        in answer.stderr
    )
    assert "hint: for example --set exits.image=3" in answer.stderr


def test_plot_saturation_prints_the_paths_of_its_figures(mue, copied_run: Run) -> None:
    answer = mue("plot", "saturation", "--run", copied_run.folder)
    paths = [Path(line) for line in answer.stdout.splitlines()]
    assert paths == [copied_run.plots / "saturation.png", copied_run.plots / "saturation.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_plot_saturation_measures_by_itself_what_calibrate_did_not(mue, copied_run: Run) -> None:
    copied_run.saturation.unlink()
    document = json.loads(mue("plot", "saturation", "--run", copied_run.folder, "--json").stdout)
    assert document == {
        "figures": [
            str(copied_run.plots / "saturation.png"),
            str(copied_run.plots / "saturation.svg"),
        ]
    }
    assert copied_run.saturation.exists()


@pytest.mark.parametrize("name", ["data", "image_size", "prompt", "search", "weights_fingerprint"])
def test_saturation_of_other_inputs_is_measured_anew(copied_run: Run, name: str) -> None:
    here = Experiment.open(run=copied_run.folder, device="cpu")
    about = about_of(here, "val")
    Saturation({"decoder": np.ones((1, 2))}, about | {"recipe": "x"}).save(copied_run.saturation)
    assert set(saturation(here).exit_scores) == {"decoder"}, "it was the same"
    Saturation({"decoder": np.ones((1, 2))}, about | {name: "other"}).save(copied_run.saturation)
    assert set(saturation(here).exit_scores) == {"image", "text", "decoder"}
    assert Saturation.load(copied_run.saturation).about == about


def test_thresholds_that_do_not_hold_are_not_drawn_into_the_saturation(
    mue, copied_run: Run
) -> None:
    change = "data.image_size=48"
    about = about_of(Experiment.open(run=copied_run.folder, overrides=[change]), "val")
    Saturation({"decoder": np.ones((1, 2))}, about).save(copied_run.saturation)
    answer = mue("plot", "saturation", "--run", copied_run.folder, "--set", change)
    assert answer.code == 0, answer.stderr
    assert "note: not shown: " in answer.stderr and "image_size 32, now" in answer.stderr


def test_saturation_from_before_is_drawn_where_nothing_can_be_measured(
    mue, copied_run: Run
) -> None:
    copied_run.checkpoint.unlink()
    Saturation({"decoder": np.ones((1, 2))}, {"split": "val"}).save(copied_run.saturation)
    answer = mue("plot", "saturation", "--run", copied_run.folder)
    assert answer.code == 0, answer.stderr
    Saturation({"decoder": np.ones((1, 2))}, {"image_size": "9"}).save(copied_run.saturation)
    answer = mue("plot", "saturation", "--run", copied_run.folder)
    assert answer.code == 2 and "no checkpoint.safetensors in" in answer.stderr


def test_plot_of_a_split_that_was_not_evaluated_names_the_command(mue, tiny_run: Run) -> None:
    answer = mue("plot", "tradeoff", "--run", tiny_run.folder, "--split", "val")
    assert answer.code == 2
    assert f"hint: run: mue evaluate --run {tiny_run.folder} --split val" in answer.stderr


def test_finetune_does_not_overwrite_a_checkpoint_unasked(mue, tiny_run: Run) -> None:
    answer = mue("finetune", "--run", tiny_run.folder)
    assert answer.code == 2
    assert (
        "already has a checkpoint" in answer.stderr
        and "--resume" in answer.stderr
        and "--force" in answer.stderr
    )


def test_force_trains_anew_and_removes_what_belonged_to_the_old_weights(
    mue, copied_run: Run
) -> None:
    assert (
        mue("finetune", "--run", copied_run.folder, "--force", "--set", "training.steps=2").code
        == 0
    )
    assert not copied_run.thresholds.exists() and not copied_run.records.exists()


def test_resume_goes_on_from_the_last_validation(mue, copied_run: Run) -> None:
    answer = mue("finetune", "--run", copied_run.folder, "--resume", "--set", "training.steps=6")
    assert answer.code == 0
    assert "going on after step 4 of 6" in answer.stderr
    assert [
        json.loads(line)["step"]
        for line in copied_run.train_log.read_text(encoding="utf-8").splitlines()
    ] == [1, 2, 3, 4, 5, 6]


def test_resume_cannot_change_the_model(mue, tiny_run: Run) -> None:
    for setting in (
        "model.config.embed_dim=48",
        "model.decompose=false",
        "training.freeze_resnet=true",
    ):
        answer = mue("finetune", "--run", tiny_run.folder, "--resume", "--set", setting)
        assert answer.code == 2 and "the model differs from the one in" in answer.stderr


def test_interrupted_training_keeps_the_best_checkpoint_and_says_so(
    mue, tiny_settings, tmp_path: Path, monkeypatch
) -> None:
    from mue_cli.training import loop

    def stop_at_step_four(report: loop.StepReport) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    made = loop.StepReport
    monkeypatch.setattr(
        loop, "StepReport", lambda *values: (report := made(*values), stop_at_step_four(report))[0]
    )
    answer = mue("finetune", *tiny_settings, "--set", "training.steps=9", "--run", tmp_path / "run")
    assert answer.code == 130
    assert f"stopped: kept {tmp_path / 'run' / 'checkpoint.safetensors'}" in answer.stderr
    assert "--resume" in answer.stderr
    assert Run(tmp_path / "run").checkpoint.exists()


def test_target_out_of_reach_states_the_largest_reachable_one(mue, copied_run: Run) -> None:
    answer = mue("calibrate", "--run", copied_run.folder, "--target-reduction", 0.99)
    assert answer.code == 2
    assert "cannot be reached" in answer.stderr and "saves 75.0%" in answer.stderr


@pytest.mark.parametrize("target", ["0", "1", "40"])
def test_target_that_is_no_fraction_gets_a_hint(mue, tiny_run: Run, target: str) -> None:
    answer = mue("calibrate", "--run", tiny_run.folder, "--target-reduction", target)
    assert answer.code == 2
    assert "hint: 0.4 stands for 40 %" in answer.stderr


def test_calibrate_refuses_thresholds_that_the_recipe_fixes(mue, tiny_run: Run) -> None:
    answer = mue("calibrate", "--run", tiny_run.folder, "--set", "exits.image=0.9")
    assert answer.code == 2 and "fixes `exits.image` itself" in answer.stderr


def test_run_of_another_task_is_refused(mue, tiny_run: Run) -> None:
    answer = mue("evaluate", "--run", tiny_run.folder, "--recipe", "shapes-entailment")
    assert answer.code == 2 and "was trained for the task caption" in answer.stderr


def test_commands_after_training_keep_the_model_of_the_run(mue, copied_run: Run) -> None:
    search = [
        "--set",
        "search.beam=2",
        "--set",
        "search.max_tokens=4",
    ]  # which the thresholds were found with
    answer = mue(
        "evaluate",
        "--run",
        copied_run.folder,
        "--recipe",
        "shapes-caption",
        *search,
        "--set",
        "evaluation.samples=2",
        "--json",
    )
    assert json.loads(answer.stdout)["record"]["num_samples"] == 2


def test_evaluate_says_which_metrics_are_left_out_and_why(mue, copied_run: Run) -> None:
    answer = mue("evaluate", "--run", copied_run.folder)
    assert "METEOR is left out: METEOR needs Java" in answer.stderr


def test_demo_prints_every_command_as_it_runs_it(tiny_demo) -> None:
    answer, folder = tiny_demo
    assert answer.code == 0, answer.stderr
    shown = [
        line.removeprefix("$ ").split(" --")[0]
        for line in answer.stdout.splitlines()
        if line.startswith("$ ")
    ]
    commands = [
        "prepare shapes",
        "finetune",
        "calibrate",
        "evaluate",
        "plot saturation",
        "plot tradeoff",
        f"predict {folder / 'data' / 'shapes' / 'examples'}",
        "report",
    ]
    assert shown == [f"mue {command}" for command in commands]


def test_demo_answers_a_question_about_pictures_of_test(tiny_demo) -> None:
    answer, folder = tiny_demo
    pictures = sorted((folder / "data" / "shapes" / "examples").glob("test-*.png"))
    said = [line.split() for line in answer.stdout.splitlines() if "examples/test-" in line]
    assert [words[0] for words in said] == [str(path) for path in pictures] and len(said) == 4
    assert {words[1] for words in said} <= {"yes", "no", "maybe"}


def test_demo_ends_with_the_table_and_the_paths_of_the_figures(tiny_demo) -> None:
    answer, folder = tiny_demo
    closing = answer.stdout.split("done in ")[1].splitlines()
    assert closing[2].split()[3:7] == ["accuracy", "expected", "FLOPs", "measured"]
    assert [line.split()[0] for line in closing[4:6]] == ["full", "mue"]
    plots = folder / "runs" / "shapes-entailment" / "plots"
    names = ["saturation.png", "saturation.svg", "tradeoff.png", "tradeoff.svg"]
    assert closing[-4:] == [str(plots / name) for name in names]
    assert all((plots / name).stat().st_size > 1000 for name in names)


def test_answers_come_in_the_datas_order_though_batches_go_by_length(tiny_demo) -> None:
    _, folder = tiny_demo
    examples = PreparedData.open(folder / "data" / "shapes").examples(
        ENTAILMENT, "test", bare=True
    )[:12]
    lengths = [len(examples.source(row).split()) for row in range(12)]
    assert lengths != sorted(lengths), "the order is that of the lengths already: nothing is shown"
    traces = runs.read_traces(Run(folder / "runs" / "shapes-entailment")).traces
    assert [trace.sample_id for trace in traces] == [examples[row].sample_id for row in range(12)]


def test_demo_can_be_run_again(mue, tiny_demo, tmp_path: Path) -> None:
    from mue_cli.experiment.demo import lines

    _, folder = tiny_demo
    assert [
        "--resume" in words for words in lines("shapes-entailment", folder, True, None, [], False)
    ][:2] == [False, True]
    answer = mue("finetune", "--run", folder / "runs" / "shapes-entailment", "--resume")
    assert answer.code == 0 and "going on after step 4 of 4" in answer.stderr


def test_demo_on_its_own_needs_no_options(mue) -> None:
    from mue_cli.experiment.demo import lines

    commands = [
        "prepare shapes",
        "finetune",
        "calibrate",
        "evaluate --method mue",
        "plot saturation",
        "plot tradeoff",
        "predict data/shapes/examples",
        "report",
    ]
    shown = lines("shapes-caption", None, False, None, [], True)
    assert [" ".join(words) for words in shown] == commands


@pytest.mark.parametrize("task", ["caption", "entailment"])
def test_quick_demo_shares_no_folder_with_the_real_one(task: str) -> None:
    from mue_cli.experiment.demo import QUICK, lines

    real, quick = (
        [
            " ".join(words)
            for words in lines(f"shapes-{task}{end}", None, False, None, [], task == "caption")
        ]
        for end in ("", QUICK)
    )
    assert quick[0] == "prepare shapes --out data/shapes-quick --train 600 --val 60 --test 60"
    assert all(line.endswith(f"--recipe shapes-{task}-quick") for line in quick[1:])
    assert not {*quick} & {*real} and len(quick) == len(real)
    recipe = Experiment.open(f"shapes-{task}-quick")
    assert recipe.recipe.data.folder == Path("data/shapes-quick")
    assert recipe.run.folder == Path(f"runs/shapes-{task}-quick")


def test_quick_demo_says_first_and_last_that_it_is_no_result(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_demo
) -> None:
    from mue_cli.commands import demo
    from mue_cli.experiment.demo import NO_RESULT

    shutil.copytree(tiny_demo[1] / "runs", tmp_path / "runs")
    runs_folder = tmp_path / "runs"
    (runs_folder / "shapes-entailment").rename(runs_folder / "shapes-entailment-quick")
    monkeypatch.setattr(demo, "run_line", lambda line: 0)
    answer = mue("demo", "--quick", "--task", "entailment", "--out", tmp_path)
    said = answer.stdout.splitlines()
    assert answer.code == 0 and said[0] == NO_RESULT and said.count(NO_RESULT) == 2


def test_entailment_answers_are_listed_per_pair(tiny_demo) -> None:
    answer, folder = tiny_demo
    assert answer.code == 0, answer.stderr
    predictions = json.loads(
        (folder / "runs" / "shapes-entailment" / "predictions.json").read_text(encoding="utf-8")
    )
    assert len(predictions) == 12
    assert all(
        prediction["answer"] in ("no", "yes", "maybe") and prediction["sample_id"]
        for prediction in predictions
    )


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["evaluate", "--method", "mue"], "mue_cli.experiment.points.time_against_full"),
        (["evaluate", "--method", "mue"], "mue_cli.experiment.evaluate._keep"),
        (["calibrate", "--target-reduction", "0.2"], "mue_cli.experiment.calibrate.store"),
    ],
)
def test_stopped_procedure_leaves_what_was_there(
    mue, copied_run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str
) -> None:
    def files() -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in copied_run.folder.iterdir()
            if path.is_file() and path != copied_run.trials  # what was tried is kept on purpose
        }

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = files()
    monkeypatch.setattr(place, stop)
    answer = mue(*words, "--run", copied_run.folder)
    assert answer.code == 130 and answer.stderr.splitlines()[-1].startswith("stopped: ")
    assert files() == before
