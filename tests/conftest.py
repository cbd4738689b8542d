"""A tiny experiment that went through every command, made once for all tests that look at commands."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import hypothesis
import pytest
import typer.testing

from mue_cli.commands.app import app
from mue_cli.experiment.run_folder import Run

# A busy machine makes single examples slow; pytest's own time limit catches what hangs.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Models here are tiny: one thread is as fast as many, and far faster on a machine that is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is measured once per machine is measured here once per test run, and the user's is left alone.
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers have it from the process that started them
    os.environ["MUE_CACHE_DIR"] = tempfile.mkdtemp(prefix="mue-test-cache-")

TINY = (
    "data.image_size=32",
    "model.config.embed_dim=24",
    "model.config.ffn_dim=24",
    "model.config.resnet_width=4",
    "model.config.num_encoder_layers=4",
    "model.config.num_decoder_layers=4",
    "training.steps=4",
    "training.batch_size=4",
    "training.validate_every=2",
    "training.validation_samples=4",
    "search.beam=2",
    "search.max_tokens=4",
    "evaluation.samples=4",
    "evaluation.timed_samples=2",
    "calibration.samples=4",
    "calibration.max_evaluations=5",
)


DEAREST = (
    "test_processes_commands.py",
    "test_inference.py",
    "test_commands_predict.py",
    "test_metrics_captioning.py",
    "test_commands_pipeline.py",
    "test_bad_inputs.py",
    "test_model_released.py",
    "test_commands_boundary.py",
    "test_commands_methods.py",
    "test_modality.py",
    "test_commands_weights.py",
    "test_commands_finetune.py",
    "test_training_survival.py",
    "test_data_resume.py",
    "test_inference_methods.py",
    "test_commands_bench.py",
)
"""The files that take longest, tens of seconds each. They come first: one that starts last would
leave all cores but one idle. The second makes nothing that the first makes, nor waits for it.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out files in our order instead of by their number of tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(DEAREST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@dataclass(frozen=True)
class Answer:
    """What a command line gave back."""

    code: int
    stdout: str
    stderr: str


def run_mue(*words: object) -> Answer:
    """Run one command line in this process, without Java (METEOR takes seconds to start); an
    unexpected exception comes through.
    """
    result = typer.testing.CliRunner().invoke(app, [str(word) for word in words], env={"PATH": ""})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def mue() -> Callable[..., Answer]:
    """Return the function that runs a command line."""
    return run_mue


def made_once(name: str, make: Callable[[Path], Answer], factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the first worker of a test run makes and the others only wait for; what
    was said while it was made stands beside it.
    """
    root = factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, said = shared / "once" / name, shared / "once" / f"{name}.json"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(asdict(make(folder))), encoding="utf-8")
    return folder


def own_copy(folder: Path, factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """Return what was said when a folder was made, and a copy of it for this worker: commands lock
    the folders that they read.
    """
    copy = factory.mktemp(folder.name) / folder.name
    shutil.copytree(folder, copy)
    said = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    code, *texts = said.values()
    return Answer(code, *(text.replace(str(folder), str(copy)) for text in texts)), copy


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a few prepared scenes. Tests must not change it."""
    sizes = ("--train", 24, "--val", 6, "--test", 6, "--image-size", 32, "--vocab-size", 320)

    def make(folder: Path) -> Answer:
        return run_mue("prepare", "shapes", "--out", folder, *sizes)

    return made_once("shapes", make, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_settings(tiny_data: Path) -> list[str]:
    """Return the options that make a recipe tiny."""
    return [word for setting in (*TINY, f"data.root={tiny_data}") for word in ("--set", setting)]


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """Return what a demo of the entailment task said, and its folder. Tests must not change it."""
    changes = (*TINY, "calibration.target_reduction=0.2", "evaluation.samples=12")
    options = [word for setting in changes for word in ("--set", setting)]

    def make(folder: Path) -> Answer:
        words = ("--task", "entailment", "--out", folder, "--scenes", 24)
        return run_mue("demo", *words, *options)

    return own_copy(made_once("demo", make, tmp_path_factory), tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_run(tiny_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the run folder of a model that was trained, calibrated and evaluated. Tests must not
    change it.
    """

    def make(folder: Path) -> Answer:
        for words in (
            ["finetune", *tiny_settings],
            ["calibrate", "--target-reduction", 0.2],
            ["evaluate"],
        ):
            answer = run_mue(*words, "--run", folder)
            assert answer.code == 0, answer.stderr
        return answer

    return Run(own_copy(made_once("tiny", make, tmp_path_factory), tmp_path_factory)[1])


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's Java takes seconds to start; tests/test_metrics_captioning.py has it."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def quick_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `mue bench` measure this machine on next to nothing."""
    from mue_cli.experiment import benchmark, benchmark_precision
    from mue_cli.profiling import ceilings

    slow = ceilings.Ceilings(0.0, 0.0, 0.0)  # so that bfloat16 is not timed
    monkeypatch.setattr(benchmark_precision, "measure_ceilings", lambda *about: slow)
    sizes = {"BUFFER_BYTES": 2**20, "DIM": 16, "FFN_DIM": 32, "ROWS": {"cpu": 8}}
    for name, value in {"SECONDS": 0.0, **sizes}.items():
        monkeypatch.setattr(ceilings, name, value)
    monkeypatch.setattr(benchmark, "SECONDS", 0.0)


@pytest.fixture
def copied_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a copy of the tiny run that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "copied")
    return Run(tmp_path / "copied")
