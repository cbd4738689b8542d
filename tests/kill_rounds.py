"""Trainings that are killed at random moments and gone on with: do they end as an undisturbed one?

    PYTHONPATH=.:tests python tests/kill_rounds.py 50

A round begins a training in a process of its own, ends it with SIGKILL after a random time, goes on
with --resume, and so on until one gets through; then checkpoint, state and losses are compared with
those of a training that nobody disturbed. Ways of training take turns: joint from the start, the
last layer first, heads trained along, a training anew beside an earlier one.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mue_cli.experiment.experiment import Experiment

TINY = (
    "data.image_size=32",
    "model.config.embed_dim=24",
    "model.config.ffn_dim=24",
    "model.config.resnet_width=4",
    "training.steps=12",
    "training.batch_size=4",
    "training.validate_every=4",
    "training.validation_samples=4",
    "training.checkpoint_every=1",
    "search.max_tokens=4",
)
WAYS = {
    "joint": (),
    "last layer first": ("training.last_layer_first=0.5",),
    "heads along": ("exits.method=pabee", "training.last_layer_first=0.3"),
    "anew": ("training.layer_loss=sum",),
}


@dataclass(frozen=True)
class Outcome:
    """kills: of this round. resumed: from a kept state, not from the first step. same: as the
    undisturbed training.
    """

    way: str
    kills: int
    same: bool


def kill_rounds(data: Path, folder: Path, count: int, seed: int = 0) -> list[Outcome]:
    """Do rounds and return how each ended."""
    torch.set_num_threads(1)
    draw, calm = random.Random(seed), {}
    for way, settings in WAYS.items():
        calm[way] = folder / f"calm {way}"
        started = time.monotonic()
        _train(data, calm[way], settings, resume=False)
        seconds = time.monotonic() - started
    outcomes = []
    for number in range(count):
        way = list(WAYS)[number % len(WAYS)]
        run = folder / f"round {number}"
        if way == "anew":
            shutil.copytree(calm["joint"], run)
        kills = _disturbed(data, run, WAYS[way], draw, seconds)
        outcomes.append(Outcome(way, kills, _same(calm[way], run, WAYS[way])))
        shutil.rmtree(run)
    return outcomes


def _disturbed(
    data: Path, run: Path, settings: tuple[str, ...], draw: random.Random, seconds: float
) -> int:
    """Train until one process gets through, and return how many were killed before."""
    kills = 0
    while True:
        process = os.fork()
        if process == 0:
            _in_child(data, run, settings, resume=kills > 0)
        deadline = time.monotonic() + draw.uniform(0.0, seconds if kills < 6 else 60 * seconds)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                assert os.waitstatus_to_exitcode(status) == 0, f"{run} could not go on"
                return kills
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kills += 1


def _in_child(data: Path, run: Path, settings: tuple[str, ...], resume: bool) -> None:
    code = 1
    try:
        _train(data, run, settings, resume)
        code = 0
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr)
    finally:
        os._exit(code)


def _train(data: Path, run: Path, settings: tuple[str, ...], resume: bool) -> None:
    overrides = (*TINY, f"data.root={data}", *settings)
    here = Experiment.open("shapes-caption", run=run, device="cpu", overrides=overrides)
    here.finetune(resume=resume, force=True)


def _same(calm: Path, run: Path, settings: tuple[str, ...]) -> bool:
    left = {path.name for path in run.glob("[!.]*")}
    stays = {path.name for path in calm.glob("[!.]*")}
    whole = left == stays and not (run / ".new").exists()
    files = [path.name for path in calm.glob("*.safetensors")]
    equal = all((calm / name).read_bytes() == (run / name).read_bytes() for name in files)
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in (calm, run)]
    weights = [state["model"] for state in states]
    moved = [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])]
    return whole and equal and not moved and _losses(calm) == _losses(run)


def _losses(run: Path) -> list[tuple[int, float, float | None]]:
    lines = (run / "train.jsonl").read_text().splitlines()
    return [(each["step"], each["loss"], each["score"]) for each in map(json.loads, lines)]


if __name__ == "__main__":
    from conftest import run_mue

    with tempfile.TemporaryDirectory() as place:
        scenes = Path(place) / "shapes"
        counts = ["--train", 24, "--val", 6, "--test", 6, "--image-size", 32, "--vocab-size", 320]
        assert run_mue("prepare", "shapes", "--out", scenes, *counts).code == 0
        found = kill_rounds(scenes, Path(place), int(sys.argv[1]))
        for way in WAYS:
            rounds = [each for each in found if each.way == way]
            ended, killed = sum(each.same for each in rounds), sum(each.kills for each in rounds)
            print(f"{way}: {len(rounds)} rounds, {killed} kills, {ended} ended as undisturbed")
