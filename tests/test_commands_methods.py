"""Every method of the tables through the command line: trained, calibrated, evaluated with its
curve, asked about a picture, timed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mue_cli.experiment import run_folder as runs
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.thresholds import read_thresholds

BETWEEN = ("--set", "evaluation.timed_samples=1", "--set", "evaluation.metrics=[BLEU, CIDEr]")


@pytest.fixture(scope="session")
def method_runs(
    mue, tiny_run: Run, tiny_settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """Return a function that gives a run in which a method's weights are. Tests must not change it."""
    folder = tmp_path_factory.mktemp("methods")
    made: dict[str, Run] = {}

    def run_of(method: str) -> Run:
        if method not in made:
            made[method] = Run(folder / method)
            if method in ("pabee", "deecap"):
                answer = mue(
                    "finetune", "--method", method, *tiny_settings, "--run", made[method].folder
                )
            else:
                shutil.copytree(tiny_run.folder, made[method].folder)
                words = [
                    "finetune",
                    "--method",
                    "deebert",
                    "--set",
                    "training.steps=2",
                    "--run",
                    made[method].folder,
                ]
                answer = mue(*words) if method == "deebert" else None
            assert answer is None or answer.code == 0, answer.stderr
            calibrated = mue(
                "calibrate",
                "--method",
                method,
                "--target-reduction",
                0.05,
                "--run",
                made[method].folder,
            )
            assert calibrated.code == 0, calibrated.stderr
        return made[method]

    return run_of


@pytest.mark.parametrize("method", ["deebert", "pabee", "deecap", "calm"])
def test_method_is_calibrated_on_val_and_evaluated_with_its_curve(
    mue, method_runs, method: str
) -> None:
    run = method_runs(method)
    found = read_thresholds(run, method)
    assert (found.method, found.split, set(found.thresholds)) == (method, "val", {"decoder"})
    assert found.achieved >= 0.05
    assert runs.read_tried(run, method)[0].reduction == 0.0
    answer = mue("evaluate", "--method", method, "--sweep", *BETWEEN, "--run", run.folder, "--json")
    assert answer.code == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["record"]["settings"]["thresholds"] == found.thresholds
    assert document["full"]["costs"]["expected"] == 0.0
    numbers = [point["point"] for point in document["sweep"]]
    assert numbers and len(set(numbers)) == len(numbers)
    if method == "pabee":
        assert all(
            point["settings"]["thresholds"]["decoder"] == point["point"] >= 1
            for point in document["sweep"]
        )
    assert (
        document["record"]["confidence"]["CIDEr"][0]
        <= document["record"]["scores"]["CIDEr"]
        <= document["record"]["confidence"]["CIDEr"][1]
    )
    full_score = document["full"]["scores"]["CIDEr"]
    for each in (document["record"], *document["sweep"]):
        low, high = each["difference"]["CIDEr"]
        assert low <= each["scores"]["CIDEr"] - full_score <= high
    assert document["full"]["difference"] == {}


@pytest.mark.parametrize("method", ["deebert", "pabee", "deecap", "calm"])
@pytest.mark.parametrize("precision", ["bfloat16"])
def test_readouts_work_at_every_precision(mue, method_runs, method: str, precision: str) -> None:
    threshold = 1 if method == "pabee" else 0.1
    words = ["--set", f"inference.precision={precision}", "--set", f"exits.decoder={threshold}"]
    answer = mue(
        "evaluate",
        "--method",
        method,
        *words,
        *BETWEEN,
        "--run",
        method_runs(method).folder,
        "--json",
    )
    assert answer.code == 0, answer.stderr


@pytest.mark.usefixtures("quick_bench")
@pytest.mark.parametrize("method", ["deebert", "calm"])
def test_predict_and_bench_know_the_method(mue, method_runs, method: str, tmp_path: Path) -> None:
    run = method_runs(method)
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "red.png")
    answer = mue("predict", tmp_path / "red.png", "--method", method, "--run", run.folder)
    assert answer.code == 0, answer.stderr
    answer = mue(
        "bench",
        "--method",
        method,
        "--repeats",
        1,
        "--set",
        "evaluation.timed_samples=1",
        "--run",
        run.folder,
        "--json",
    )
    assert answer.code == 0, answer.stderr
    parts = {part["name"]: part for part in json.loads(answer.stdout)["parts"][method]}
    head, decoder = parts["head"], parts["decoder"]
    assert (
        head["calls"] > json.loads(answer.stdout)["steps"][method]
        or decoder["calls"] == json.loads(answer.stdout)["steps"][method]
    )


def test_oracle_keeps_every_answer_of_the_full_model(mue, method_runs) -> None:
    run = method_runs("calm")
    answer = mue("evaluate", "--method", "oracle", *BETWEEN, "--run", run.folder, "--json")
    assert answer.code == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["record"]["scores"] == document["full"]["scores"]
    assert document["record"]["costs"]["expected"] > 0
    assert "measured" not in document["record"]["costs"]


@pytest.mark.parametrize("method", ["full", "oracle"])
def test_method_without_a_threshold_has_no_curve(mue, tiny_run: Run, method: str) -> None:
    answer = mue("evaluate", "--method", method, "--sweep", "--run", tiny_run.folder)
    assert answer.code == 2
    assert (
        answer.stderr
        == f"error: the method {method} has no threshold to sweep\nhint: leave out --sweep\n"
    )


@pytest.mark.parametrize("method", ["full", "static", "oracle"])
def test_method_without_thresholds_cannot_be_calibrated(mue, tiny_run: Run, method: str) -> None:
    answer = mue("calibrate", "--set", f"exits.method={method}", "--run", tiny_run.folder)
    assert answer.code == 2
    assert (
        answer.stderr
        == f"error: the method {method} has no thresholds to search\nhint: name one that has: --method mue\n"
    )


def test_fixed_thresholds_leave_nothing_to_sweep_and_others_do_not_matter(mue, method_runs) -> None:
    run = method_runs("calm")
    answer = mue(
        "evaluate", "--method", "calm", "--sweep", "--set", "exits.decoder=0.5", "--run", run.folder
    )
    assert answer.code == 2 and "fixes `exits.decoder` itself" in answer.stderr
    words = [
        "calibrate",
        "--method",
        "calm",
        "--target-reduction",
        0.05,
        "--set",
        "exits.image=0.9",
    ]
    assert mue(*words, "--run", run.folder).code == 0


@pytest.mark.parametrize("patience", ["0.9", "0", "1.5"])
def test_patience_is_a_number_of_layers(mue, method_runs, patience: str) -> None:
    answer = mue(
        "evaluate",
        "--method",
        "pabee",
        "--set",
        f"exits.decoder={patience}",
        "--run",
        method_runs("pabee").folder,
    )
    assert answer.code == 2
    assert (
        f"error: `exits.decoder` is {float(patience):g}, expected for pabee how many layers in a row must agree"
        in answer.stderr
    )


def test_thresholds_of_another_cut_or_search_are_refused(
    mue, tiny_run: Run, tmp_path: Path
) -> None:
    answer = mue("evaluate", "--no-decompose", "--run", tiny_run.folder)
    assert answer.code == 2
    assert (
        "was searched with image and text apart, now it is image and text in one stream"
        in answer.stderr
    )
    answer = mue("evaluate", "--set", "search.beam=1", "--run", tiny_run.folder)
    assert answer.code == 2
    assert "was searched with beam 2, now it is beam 1" in answer.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.image_size=48", "image_size 32, now it is image_size 48"),
        ("search.temperature=3", "temperature 1, now it is temperature 3"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "bench", "predict"])
def test_thresholds_of_other_samples_or_another_search_are_refused_everywhere(
    mue, tiny_run: Run, tmp_path: Path, command: str, change: str, said: str
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    pictures = [tmp_path / "a.png"] if command == "predict" else []
    answer = mue(command, *pictures, "--run", tiny_run.folder, "--set", change)
    assert answer.code == 2 and f"was searched with {said}" in answer.stderr
    assert f"hint: run: mue calibrate --set {change}" in answer.stderr


def test_method_before_its_readout_was_trained_names_the_command(mue, tiny_run: Run) -> None:
    words = ["--set", "exits.decoder=0.5", "--run", tiny_run.folder]
    answer = mue("evaluate", "--method", "deebert", *words)
    assert answer.code == 2 and "finetune --method deebert" in answer.stderr
    answer = mue("evaluate", "--method", "deecap", *words)
    assert answer.code == 2 and "mue finetune --method deecap --run ANOTHER-FOLDER" in answer.stderr
