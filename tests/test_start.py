"""What a command imports before it answers: users wait for every start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("torch._dynamo", "sympy", "datasets", "pandas", "matplotlib")
"""The compiler of PyTorch with its algebra, writing of data sets, figures: seconds each."""

ASK = f"""
import sys
from mue_cli.commands.app import app
sys.argv = ["mue", *sys.argv[1:]]
try:
    app()
finally:
    print("imported:", [name for name in {SLOW} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_runs_without_what_only_others_need(tiny_data, copied_run, command) -> None:
    (picture, *_) = sorted((Path(tiny_data) / "examples").iterdir())
    words = {
        "predict": [str(picture)],
        "evaluate": ["--metrics", "CIDEr", "--set", "evaluation.timed_samples=0"],
    }[command]
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            ASK,
            command,
            *words,
            "--run",
            str(copied_run.folder),
            "--device",
            "cpu",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.splitlines()[-1] == "imported: []"
