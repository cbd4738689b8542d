"""Trainings that are killed at random moments and gone on with: do they end as an undisturbed one?

    PYTHONPATH=.:tests python tests/kill_rounds.py 50

A round begins a training in a process of its own, ends it with SIGKILL after a random time, goes on
with --resume, and so on until one gets through; then checkpoint, state and losses are compared with
those of a training that nobody disturbed. Ways of training take turns: joint from the start, the
last layer first, heads trained along, a training anew beside an earlier one.
"""

import itertools
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
from safetensors.torch import load_file

from mue_cli.experiment.experiment import Experiment

TINY = (
    "data.image_size=32",
    "model.config.embed_dim=24",
    "model.config.ffn_dim=24",
    "model.config.resnet_width=4",
    "model.config.num_encoder_layers=2",
    "model.config.num_decoder_layers=2",
    "training.steps=6",
    "training.batch_size=4",
    "training.validate_every=2",
    "training.validation_samples=2",
    "training.checkpoint_every=1",
    "search.beam=2",
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
    """kills: of this round. differences: from the undisturbed training."""

    way: str
    kills: int
    differences: tuple[str, ...]


def kill_rounds(
    data: Path, folder: Path, count: int, seed: int = 0, kills: int = 6
) -> list[Outcome]:
    """Do rounds and return how each ended. kills: after so many, a round is left in peace."""
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
        done = _disturbed(data, run, WAYS[way], draw, seconds, kills)
        outcomes.append(Outcome(way, done, _differences(calm[way], run)))
        shutil.rmtree(run)
    return outcomes


def _disturbed(
    data: Path,
    run: Path,
    settings: tuple[str, ...],
    draw: random.Random,
    seconds: float,
    most: int,
) -> int:
    """Train until one process gets through, and return how many were killed before."""
    kills = 0
    while True:
        process = os.fork()
        if process == 0:
            _in_child(data, run, settings, resume=kills > 0)
        deadline = time.monotonic() + draw.uniform(0.0, seconds if kills < most else 60 * seconds)
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


def _differences(calm: Path, run: Path) -> tuple[str, ...]:
    """Return what differs between the folders of two trainings, but for the times in the log."""
    left, stays = ({path.name for path in each.glob("[!.]*")} for each in (run, calm))
    odd = [f"only in one: {name}" for name in left ^ stays]
    odd += [".new is left"] if (run / ".new").exists() else []
    for file in calm.glob("*.safetensors"):
        mine, theirs = load_file(file), load_file(run / file.name)
        if any(not torch.equal(tensor, theirs[name]) for name, tensor in mine.items()):
            odd.append(f"{file.name} differs")
    one, other = (torch.load(each / "last.pt", weights_only=True) for each in (calm, run))
    moved = [
        name for name in one["model"] if not torch.equal(one["model"][name], other["model"][name])
    ]
    odd += [f"{len(moved)} tensors differ, {moved[0]} among them"] if moved else []
    for line, wanted in itertools.zip_longest(_losses(run), _losses(calm)):
        if line != wanted:
            odd.append(f"the log says {line}, expected {wanted}")
            break
    return tuple(odd)


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
            ended, killed = (
                sum(not each.differences for each in rounds),
                sum(each.kills for each in rounds),
            )
            print(*{each for round_ in rounds for each in round_.differences}, sep="\n")
            print(f"{way}: {len(rounds)} rounds, {killed} kills, {ended} ended as undisturbed")
