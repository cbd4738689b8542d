"""Commands that are killed at random moments and given again: do they end as undisturbed ones?

    PYTHONPATH=.:tests python tests/kill_rounds.py 20              20 rounds of every command
    PYTHONPATH=.:tests python tests/kill_rounds.py 50 finetune     50 rounds of a training

A round gives a command line in a process of its own, ends it with SIGKILL after a random time,
gives it again (a training: with --resume), and so on until one gets through. Then the folder is
compared with that of an undisturbed command: the same files, byte for byte but for times and the
ids of evaluations, and nothing beside them. Ways of giving a command take turns.
"""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from PIL import Image

from mue_cli.commands.app import app
from mue_cli.commands.boundary import answered
from mue_cli.data.store import image_shards

SETTINGS = (
    "data.image_size=32",
    "model.config.embed_dim=24",
    "model.config.ffn_dim=24",
    "model.config.resnet_width=4",
    "model.config.num_encoder_layers=2",
    "model.config.num_decoder_layers=2",
    "training.steps=6",
    "training.batch_size=4",
    "training.validate_every=3",
    "training.validation_samples=2",
    "training.checkpoint_every=1",
    "search.beam=2",
    "search.max_tokens=4",
    "evaluation.samples=4",
    "evaluation.timed_samples=0",
    "evaluation.metrics=[CIDEr]",
    "calibration.samples=4",
    "calibration.max_evaluations=5",
)
STUDY = """
name: little
recipe: shapes-caption
seeds: [0]
folders:
  full: {settings: {training.steps: 2, model.decompose: false}}
  mue: {start: full, method: mue, settings: {training.steps: 2}}
rows:
  full: {folder: full, method: full}
  deebert: {folder: full, method: deebert, target_reduction: 0.15, sweep: false,
    second_stage: {training.steps: 1}}
  mue: {folder: mue, method: mue, target_reduction: 0.2, sweep: false}
"""
TIMES = {
    *("prepared", "seconds", "waited", "memory_mb", "samples_per_second"),
    *("id", "evaluation", "evaluated"),
}
"""Fields that differ between two runs of one command."""
APPENDED = {"records.jsonl", "promises.jsonl"}
"""Logs that a command adds to when it has ended: killed right then, and given again, it adds the
same once more.
"""


@dataclass(frozen=True)
class Way:
    """first, again: the words of a command, and what is given after a kill. on: the folder of the
    world that a round's folder begins as, "" for none.
    """

    first: str
    again: str = ""
    on: str = ""


@dataclass(frozen=True)
class Outcome:
    """kills: of this round. differences: from the undisturbed command."""

    way: Way
    kills: int
    differences: tuple[str, ...]


def _ways() -> dict[str, list[Way]]:
    sets = " ".join(f"--set {each}" for each in (*SETTINGS, "data.root=made"))
    train, prepare = f"finetune --run round {sets}", "prepare flickr8k --source source --out round"
    kinds = (
        "",
        "--set training.last_layer_first=0.5",
        "--method pabee --set training.last_layer_first=0.3",
    )
    anew = f"{train} --set training.layer_loss=sum"
    return {
        "prepare": [
            Way(f"{prepare} --vocab-size 320 --num-workers {number}", on=on)
            for number, on in ((0, ""), (2, ""), (0, "made"))
        ],
        "finetune": [
            *(Way(f"{train} {kind}", f"{train} {kind} --resume") for kind in kinds),
            Way(f"{anew} --force", f"{anew} --resume", on="trained"),
            Way(f"{train} --method deebert --force", on="trained"),
        ],
        "calibrate": [
            Way("calibrate --run round --target-reduction 0.2", on="trained"),
            Way("calibrate --run round --target-reduction 0.3", on="calibrated"),
        ],
        "evaluate": [
            Way("evaluate --run round --method full", on="calibrated"),
            Way("evaluate --run round --sweep", on="calibrated"),
        ],
        "study": [Way(f"study little.yaml --run round {sets}")],
    }


WAYS = _ways()
ALONE = {"PATH": "", "HF_HUB_OFFLINE": "1"}
FOLDERS = {
    "made": WAYS["prepare"][0],
    "trained": WAYS["finetune"][0],
    "calibrated": WAYS["calibrate"][0],
}
"""Folders of the world, and how each is made."""


def make_world(folders: Sequence[str] = tuple(FOLDERS)) -> None:
    """Fill the current folder with what the commands read. All is made in this process, so that
    the processes of the rounds need not import it each.
    """
    Path("little.yaml").write_text(STUDY)
    images = []
    for number in range(24):
        path = Path("source", "images", f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 10.0 * number).convert("RGB").save(path)
        split = ("train", "train", "val", "test")[number % 4]
        text = f"a picture with noise of the strength {number}"
        sentences = [{"raw": text}, {"raw": f"noise {number}"}]
        images.append({"filename": path.name, "split": split, "sentences": sentences})
    Path("source", "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    for name in folders:
        _begin(FOLDERS[name])
        talk = io.StringIO()
        with (
            contextlib.redirect_stdout(talk),
            contextlib.redirect_stderr(talk),
            mock.patch.dict(os.environ, ALONE),
        ):
            assert answered(app, FOLDERS[name].first.split()) == 0, talk.getvalue()
        Path("round").rename(name)


def rounds(command: str, count: int, seed: int = 0) -> list[Outcome]:
    """Do rounds of a command in the world, and return how each ended."""
    draw, outcomes = random.Random(seed), []
    calm: dict[Way, float] = {}
    for number in range(count):
        way = WAYS[command][number % len(WAYS[command])]
        wanted = Path(f"calm {command} {number % len(WAYS[command])}")
        if way not in calm:
            _begin(way)
            started = time.monotonic()
            assert _given(way.first) == 0, way.first
            calm[way] = time.monotonic() - started
            Path("round").rename(wanted)
        _begin(way)
        kills = _disturbed(way, draw, calm[way])
        outcomes.append(Outcome(way, kills, differences(wanted, Path("round"))))
    shutil.rmtree("round", ignore_errors=True)
    return outcomes


def _begin(way: Way) -> None:
    shutil.rmtree("round", ignore_errors=True)
    if way.on:
        shutil.copytree(way.on, "round")


def _disturbed(way: Way, draw: random.Random, seconds: float) -> int:
    """Give a command until a process gets through, and return how many were killed before."""
    kills, limit = 0, draw.randint(1, 3)
    while True:
        words = way.again or way.first if kills else way.first
        patience = draw.uniform(0.0, seconds if kills < limit else 60 * seconds)
        code = _given(words, patience)
        if code == 2 and "is done" in Path("said.txt").read_text():
            # Killed before it began: --resume met the training before it, and says so.
            words, code = way.first, _given(way.first, patience)
        if code == 2 and "no last.pt to go on from" in Path("said.txt").read_text():
            # Killed between the first checkpoint and last.pt: --resume would lose the checkpoint.
            words = f"{way.first} --force"
            code = _given(words, patience)
        if code is not None:
            assert code == 0, f"could not go on: mue {words}\n{Path('said.txt').read_text()}"
            return kills
        kills += 1


def _given(words: str, patience: float = 3600) -> int | None:
    """Give a command line in a process of its own, and return its exit code; None where it was
    killed after some seconds.
    """
    process = os.fork()
    if process == 0:
        _in_child(words)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _in_child(words: str) -> None:
    code = 70
    try:
        out = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ |= ALONE
        torch.set_num_threads(1)
        image_shards.SHARD_ROWS = 4
        code = answered(app, words.split())
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def differences(calm: Path, disturbed: Path) -> tuple[str, ...]:
    """Return what differs between two folders, and what lies beside them."""
    theirs, mine = (
        {str(path.relative_to(each)): path for path in each.rglob("*") if path.name != ".lock"}
        for each in (calm, disturbed)
    )
    odd = [f"only in one: {name}" for name in theirs.keys() ^ mine.keys()]
    odd += [f"beside: {path.name}" for path in Path().glob(".*")]
    for name in theirs.keys() & mine.keys():
        if theirs[name].is_file() and _content(theirs[name]) != _content(mine[name]):
            odd.append(f"{name} differs")
    return tuple(odd)


def _content(path: Path) -> object:
    if path.suffix == ".jsonl":
        lines = [_lasting(json.loads(line)) for line in path.read_text().splitlines()]
        return list(dict.fromkeys(map(json.dumps, lines))) if path.name in APPENDED else lines
    if path.suffix == ".pt":
        return _lasting(torch.load(path, weights_only=True))
    return _lasting(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def _lasting(value: object) -> object:
    """Return a value without what differs between two runs of one command."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, list | tuple):
        return [_lasting(each) for each in value]
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in TIMES}
    return value


def main(count: int, commands: list[str]) -> None:
    """Do rounds of commands and print how they ended."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        torch.set_num_threads(1)
        make_world()
        for command in commands:
            done = rounds(command, count)
            for each in done:
                print(*(f"{each.way.first}: {odd}" for odd in each.differences), sep="\n", end="")
            kills = sum(each.kills for each in done)
            alike = sum(not each.differences for each in done)
            said = f"{count} rounds, {kills} kills, {alike} ended as undisturbed"
            print(f"{command}: {said}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or list(WAYS))
