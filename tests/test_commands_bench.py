"""`mue bench` on tiny models: what it measures, what it says, and what it refuses."""

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import TINY

from mue_cli.data.made_up import WORDS, MadeUpExamples
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.experiment import benchmark, benchmark_precision
from mue_cli.experiment.run_folder import Run
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.profiling.ceilings import Ceilings
from mue_cli.reports.benchmark import precision_savings, what_first

BY_LAYERS = (
    "--method",
    "static",
    "--set",
    "exits.image=3",
    "--set",
    "exits.text=2",
    "--set",
    "exits.decoder=1",
)
MODEL = [
    word
    for setting in TINY
    if setting.startswith(("data", "model", "search", "evaluation"))
    for word in ("--set", setting)
]


pytestmark = pytest.mark.usefixtures("quick_bench")


@pytest.fixture
def nothing_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a copy of the tiny run."""
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def measured(answer) -> dict:
    assert answer.code == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_place_without_prepared_data_is_said_and_one_with_something_else_is_refused(
    mue, own_run: Run, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere"
    words = ("bench", "--run", own_run.folder, "--repeats", 1, "--set", f"data.root={root}")
    answer = mue(*words)
    assert answer.code == 0
    assert f"note: no prepared data at {root}: made-up pictures are timed" in answer.stderr
    before = own_run.bench.read_bytes()
    os.mkfifo(root)
    answer = mue(*words)
    assert answer.code == 2 and f"error: no prepared data at {root}\n" in answer.stderr
    assert own_run.bench.read_bytes() == before


def test_a_calibrated_run_is_measured_on_its_test_pictures(mue, own_run: Run) -> None:
    found = measured(
        mue("bench", "--run", own_run.folder, "--repeats", 1, "--batch-size", 3, "--json")
    )
    assert (found["method"], found["data"], found["samples"]) == (
        "mue",
        "pictures of shapes test",
        2,
    )
    assert found["weights"] == str(own_run.checkpoint)
    assert found["thresholds"].keys() == {"image", "text", "decoder"}
    assert found["latency"].keys() == {"1", "3"}
    assert found["reduction"]["measured"] == found["latency"]["1"]["reduction"]
    assert all(
        latency[name]["median_ms"] > 0
        for latency in found["latency"].values()
        for name in ("full", "mue")
    )
    assert json.loads(own_run.bench.read_text()) == found
    assert (own_run.plots / "bench.png").stat().st_size > 10_000 and (
        own_run.plots / "bench.svg"
    ).is_file()


def test_every_part_has_time_calls_and_a_share_of_the_ceiling(mue, own_run: Run) -> None:
    found = measured(mue("bench", "--run", own_run.folder, *BY_LAYERS, "--repeats", 1, "--json"))
    for name, parts in found["parts"].items():
        assert [part["name"] for part in parts][-1] == "rest"
        assert all(part["ms"] > 0 and part["calls"] > 0 for part in parts)
        assert {part["name"]: part["calls"] for part in parts}["encoder, image"] == {
            "full": 4,
            "static": 3,
        }[name]
        head = next(part for part in parts if part["name"] == "head")
        assert head["of_ceiling"] == pytest.approx(
            Ceilings(**found["ceilings"]).least_ms(head["flops"], head["bytes_read"]) / head["ms"]
        )
    assert found["reduction"]["expected"] == pytest.approx(1 - (2.5 / 4 + 1 / 4) / 2)


def test_ceilings_are_measured_before_and_after_and_the_better_counts(
    mue, own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([Ceilings(1e6, 1e3, 1e6), Ceilings(1e5, 1e4, 1e7)])
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda *about: next(rates))
    found = measured(
        mue("bench", "--run", own_run.folder, "--repeats", 1, "--batch-size", 2, "--json")
    )
    assert found["ceilings"] == {"gflops_packed": 1e6, "gflops_mm": 1e4, "gbytes_read": 1e7}
    assert next(rates, None) is None and found["notes"] == []


def test_parts_above_the_ceilings_are_pointed_out(
    mue, own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda *about: Ceilings(1e-3, 1e-3, 1e-3))
    answer = mue("bench", "--run", own_run.folder, "--repeats", 1)
    assert answer.code == 0, answer.stderr
    assert (
        "note: parts lie above the ceilings: the machine was busier while those were measured"
        in answer.stdout
    )


def test_without_data_made_up_pictures_are_taken_and_captions_are_equally_long(
    mue, own_run: Run, nothing_prepared
) -> None:
    words = ("--run", own_run.folder, "--set", f"data.root={nothing_prepared / 'none'}")
    found = measured(mue("bench", *words, *BY_LAYERS, "--repeats", 1, "--json"))
    assert found["data"] == "made-up pictures"
    assert found["steps"] == {
        "full": 5.0,
        "static": 5.0,
    }  # search.max_tokens is 4; the end comes on top


def test_random_weights_need_nothing_and_leave_at_half_depth(mue, nothing_prepared: Path) -> None:
    answer = mue("bench", *MODEL, "--random", "nano", "--repeats", 1)
    assert answer.code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert (
        lines[0]
        == "shapes-caption, random weights of nano: full against static (image 2, text 2, decoder 2)."
    )
    assert lines[1] == "2 made-up pictures at 32 px, 5 decoding steps each."
    assert (
        "At best it does " in answer.stdout
        and "reduction: 50.0 % of the layers (Eq. 14), " in answer.stdout
    )
    assert "full's time goes to" in lines[-2] and lines[-2].startswith(
        ("exiting ", "whether exiting pays here")
    )
    assert f"all figures: {Path('runs/shapes-caption/bench.json')}" in answer.stderr
    stated = measured(
        mue("bench", *MODEL, "--random", "nano", "--set", "exits.image=1", "--repeats", 1, "--json")
    )
    assert stated["thresholds"] == {"image": 1, "text": 2, "decoder": 2}


def test_the_table_shows_what_the_document_holds(mue, own_run: Run) -> None:
    answer = mue("bench", "--run", own_run.folder, *BY_LAYERS, "--repeats", 1)
    assert answer.code == 0, answer.stderr
    found = json.loads(own_run.bench.read_text())
    rows = {line.split("  ")[0]: line.split() for line in answer.stdout.splitlines() if line}
    for part in found["parts"]["full"]:
        assert (
            f"{part['ms']:.1f}" in rows[part["name"]]
            and f"{part['calls']:.1f}" in rows[part["name"]]
        )
    assert f"{sum(part['ms'] for part in found['parts']['static']):.1f}" in rows["all"]
    assert f"{found['latency']['1']['full']['median_ms']:.1f}" in rows["1"]
    assert found["verdict"] in answer.stdout


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_other_precisions_are_measured_and_read_fewer_bytes(
    mue, own_run: Run, precision: str
) -> None:
    words = ("--run", own_run.folder, *BY_LAYERS, "--repeats", 1, "--json")
    exact, short = (
        measured(mue("bench", *words)),
        measured(mue("bench", *words, "--set", f"inference.precision={precision}")),
    )
    assert short["machine"]["precision"] == precision
    read = [
        {part["name"]: part["bytes_read"] for part in found["parts"]["full"]}
        for found in (exact, short)
    ]
    assert read[0]["head"] / read[1]["head"] == pytest.approx(
        {"bfloat16": 2}[precision] * (exact["steps"]["full"] / short["steps"]["full"])
    )


@pytest.mark.parametrize("decompose", ["true", "false"])
def test_answers_are_measured_too(mue, nothing_prepared: Path, decompose: str) -> None:
    words = (
        "--recipe",
        "shapes-entailment",
        "--random",
        "nano",
        "--set",
        f"model.decompose={decompose}",
        "--repeats",
        1,
        "--json",
    )
    found = measured(mue("bench", *MODEL, *words))
    assert found["steps"] == {"full": 1.0, "static": 1.0}
    streams = ["image", "text"] if decompose == "true" else ["joint"]
    assert [
        part["name"] for part in found["parts"]["full"] if part["name"].startswith("encoder")
    ] == [f"encoder, {s}" for s in streams]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ("--random", "nano", "--weights", "x.pt"),
            "--random draws weights, and --weights names others",
            "leave one out",
        ),
        (
            ("--random", "nano", "--method", "mue"),
            "random weights have no thresholds",
            "use --method static",
        ),
        (("--random", "bse"), "unknown model.preset `bse`", "did you mean `base`?"),
        (
            ("--set", "exits.method=full"),
            "bench compares a method with full",
            "add --method mue or --method static",
        ),
        ((), "no checkpoint.safetensors in", "run: mue finetune"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_a_hint(
    mue, nothing_prepared: Path, words, message: str, hint: str
) -> None:
    answer = mue("bench", *words)
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.stderr and hint in answer.stderr


def test_a_run_of_its_own_is_not_overwritten_by_random_weights(mue, own_run: Run) -> None:
    answer = mue("bench", "--run", own_run.folder, "--random", "nano")
    assert (
        answer.code == 2
        and "has its own checkpoint" in answer.stderr
        and "name a new folder with --run" in answer.stderr
    )


def test_without_thresholds_the_hint_names_both_ways(mue, own_run: Run) -> None:
    own_run.thresholds.unlink()
    answer = mue("bench", "--run", own_run.folder)
    assert answer.code == 2 and "no thresholds.yaml in" in answer.stderr
    assert (
        "run: mue calibrate" in answer.stderr
        and "or name exit layers: --method static --set exits.image=3" in answer.stderr
    )


def test_as_many_samples_are_timed_as_fit_and_no_more_than_the_recipe_times(
    mue, own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 1e9)
    words = (
        "--run",
        own_run.folder,
        *BY_LAYERS,
        "--set",
        "evaluation.timed_samples=3",
        "--repeats",
        1,
        "--json",
    )
    assert measured(mue("bench", *words))["samples"] == 3


def test_made_up_examples_are_photographs_in_size_and_differ() -> None:
    captions, pairs = MadeUpExamples(CAPTION, 2), MadeUpExamples(ENTAILMENT, 1)
    assert captions[0].image.size == (640, 480)
    assert captions[0].image.tobytes() != captions[1].image.tobytes()
    assert [example.sample_id for example in captions[:5]] == ["made-up-0", "made-up-1"]
    assert captions[0].source == " what does the image describe?" and pairs[0].target == "no"
    with pytest.raises(IndexError):
        captions[2]


def test_words_of_the_made_up_questions_are_one_token_each() -> None:
    tokenizer = Tokenizer.train([], 512, WORDS)
    assert (
        len(tokenizer.encode(MadeUpExamples(CAPTION, 1)[0].source)) == 6
    )  # as in OFA's own vocabulary
    assert all(len(tokenizer.encode(f" {answer}")) == 1 for answer in ENTAILMENT.answers)


def test_both_precisions_are_timed_where_bfloat16_products_are_faster(
    mue, own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Ceilings(1e9, 1e9, 1e9)
    monkeypatch.setattr(benchmark_precision, "measure_ceilings", lambda *about: fast)
    document = measured(mue("bench", "--run", own_run.folder, "--repeats", 1, "--json"))
    times = document["precisions"]["ms"]
    assert {name: set(each) for name, each in times.items()} == {
        "float32": {"full", "mue"},
        "bfloat16": {"full", "mue"},
    }
    assert all(ms > 0.0 for each in times.values() for ms in each.values())
    own = Ceilings(**document["ceilings"]).gflops
    assert document["precisions"]["gflops_per_s"] == {"float32": own, "bfloat16": 1e9}


def test_a_processor_without_bfloat16_products_keeps_float32(mue, own_run: Run) -> None:
    answer = mue("bench", "--run", own_run.folder, "--repeats", 1)
    last = answer.stdout.strip().splitlines()[-1]
    assert last.startswith("keep float32: bfloat16 products run at 0 GFLOP/s here, float32's at ")
    assert last.endswith(", so bfloat16 was not timed.")


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        ((70.0, 50.0, 40.0), "take bfloat16 first: bfloat16 alone saves 50.0 %, mue alone 30.0 %"),
        ((40.0, 90.0, 30.0), "take mue first: mue alone saves 60.0 %, bfloat16 alone 10.0 %, both"),
        ((120.0, 50.0, 60.0), "take bfloat16 and leave mue: bfloat16 alone saves 50.0 %, both 40"),
        ((101.0, 100.0, 90.0), "neither mue nor bfloat16 saves time here."),
    ],
)
def test_the_larger_saving_is_taken_first(
    milliseconds: tuple[float, float, float], words: str
) -> None:
    mue_alone, rounded, both = milliseconds
    times = {
        "float32": {"full": 100.0, "mue": mue_alone},
        "bfloat16": {"full": rounded, "mue": both},
    }
    document = {
        "method": "mue",
        "precisions": {"gflops_per_s": {"float32": 1.0, "bfloat16": 2.0}, "ms": times},
    }
    assert what_first(document).startswith(words)
    assert precision_savings(document)["bfloat16", "mue"] == pytest.approx(1.0 - both / 100.0)
