"""Bad inputs over all commands, and the small world that they are given in: prepared data, a run
that was trained, calibrated and evaluated, and a few pictures.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mue_cli.commands.app import app
from mue_cli.commands.boundary import answered
from mue_cli.errors import one_line
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.exit_grid import ExitGrid

Damage = Callable[[], object]
RUN = Path("runs/tiny")
DATA = Path("data/shapes")
AT = "--run runs/tiny"


@dataclass(frozen=True)
class Bad:
    """One bad input. kind: its heading. what: in words. words: the command line. damage: done in
    the world before, in its folder.
    """

    kind: str
    what: str
    words: str
    damage: Damage = lambda: None


@dataclass(frozen=True)
class Said:
    """What a command line printed and left: its exit code, its lines on stderr."""

    code: int
    lines: tuple[str, ...]


def say(words: str) -> Said:
    """Run a command line in this process, in this folder; a bug comes through."""
    out, talk = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk):
        code = answered(app, shlex.split(words))
    here = str(Path.cwd())
    said = talk.getvalue().replace(f"{here}/", "").replace(here, ".")
    return Said(code, tuple(said.splitlines()))


def make_world(folder: Path, data: Path, run: Path) -> None:
    """Fill a folder with copies of prepared data and of a run, under short names."""
    shutil.copytree(data, folder / DATA)
    shutil.copytree(run, folder / RUN)
    recipe = folder / RUN / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(re.sub(r"root: .*", f"root: {DATA}", text), encoding="utf-8")
    grid = ExitGrid(np.full((6, 6), 50.0), "CIDEr", 6, {"dataset": "shapes", "split": "test"})
    grid.save(folder / RUN / "modality.npz")
    depth = DepthScores(
        {"decoder": np.full(6, 50.0)}, {"decoder": np.zeros((6, 3))}, "CIDEr", 6, dict(grid.about)
    )
    depth.save(folder / RUN / "depth.npz")
    (folder / "pictures").mkdir()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(folder / "pictures" / "good.png")


def contents(folder: Path, without: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """Return every plain file in a folder: path -> content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name not in (".lock", *without)
    }


def page(said: list[tuple[Bad, Said]]) -> str:
    """Return the page of the docs: every bad input with what it printed."""
    lines = [
        "# Bad inputs, and what each printed",
        "",
        f"{len(said)} bad inputs over all commands: each is one error line and a hint, exit code 2 (1",
        "where a picture cannot be read), and leaves earlier results as they were. Written by",
        "`python tests/write_bad_inputs.py`; `tests/test_bad_inputs.py` runs them all.",
    ]
    kind = ""
    for bad, answer in said:
        if bad.kind != kind:
            kind = bad.kind
            lines += ["", f"## {kind}", ""]
        error, hint = (line.partition(": ")[2] for line in answer.lines[-2:])
        lines.append(f"- **{_cell(bad.what)}**, `mue {_cell(bad.words)}`")
        lines.append(f"  <br>error: {_cell(error, 300)}<br>hint: {_cell(hint, 300)}")
    return "\n".join(lines) + "\n"


def outline(text: str) -> list[str]:
    """Return a page without what changes with every new recipe, method or field: the lists of
    names in messages and hints.
    """
    return [line[:40] if "<br>" in line else line for line in text.splitlines()]


def _cell(text: str, longest: int = 100) -> str:
    return one_line(text, longest).replace("<", "&lt;").replace("|", "&#124;")


# What is done to files.


def write(path: Path | str, content: str | bytes) -> Damage:
    def damage() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def replaced(path: Path, old: str, new: str) -> Damage:
    """Replace text in a file, which must be there."""

    def damage() -> None:
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text), f"{old} is not in {path}"
        path.write_text(re.sub(old, new, text, count=1), encoding="utf-8")

    return damage


def edited(path: Path, change: Callable[[dict], object]) -> Damage:
    """Change the JSON object of a file's first line, or the whole file's."""

    def damage() -> None:
        text = path.read_text(encoding="utf-8")
        first, rest = (text, "") if path.suffix == ".json" else text.split("\n", 1)
        values = json.loads(first)
        change(values)
        path.write_text(json.dumps(values) + ("\n" + rest if rest else ""), encoding="utf-8")

    return damage


def cut(path: Path) -> Damage:
    return lambda: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def removed(path: Path) -> Damage:
    return lambda: shutil.rmtree(path) if path.is_dir() else path.unlink()


def instead(path: Path, make: Callable[[Path], object]) -> Damage:
    """Put something else where a file was."""

    def damage() -> None:
        path.unlink(missing_ok=True)
        make(path)

    return damage


def pipe(path: Path) -> Damage:
    return instead(path, os.mkfifo)


def directory(path: Path) -> Damage:
    return instead(path, Path.mkdir)


def device(path: Path) -> Damage:
    return instead(path, lambda each: each.symlink_to("/dev/zero"))


def loop(path: Path) -> Damage:
    return instead(path, lambda each: each.symlink_to(each.absolute()))


DEEP = "[" * 100_000
HEAD = "name: mine\ntask: caption\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


def linked(path: Path, to: str) -> Damage:
    return instead(path, lambda each: each.symlink_to(to))


def in_state(change: Callable[[dict], object]) -> Damage:
    """Change what a training keeps for --resume."""

    def damage() -> None:
        state = torch.load(RUN / "last.pt", weights_only=True)
        change(state)
        torch.save(state, RUN / "last.pt")

    return damage


def sources(text: str | bytes, *names: str) -> Damage:
    """Make a folder `source` with files of one content, and a picture."""

    def damage() -> None:
        for name in names:
            write(Path("source", name), text)()
        shutil.copytree("pictures", "source/images")

    return damage


# The inputs.


def words_of_the_command_line() -> Iterator[Bad]:
    kind = "Words of the command line"
    for what, words in {
        "unknown option": "finetune --foo",
        "unknown option of all commands": "--foo",
        "unknown command": "finetun",
        "unknown command of a group": "prepare shape",
        "no argument": "predict",
        "no option that is needed": "export",
        "too many arguments": "doctor now",
        "option without its value": "finetune --recipe",
        "text for a number": "finetune --seed x",
        "negative seed": "finetune --seed -1",
        "seed of 23 digits": f"finetune --seed {'9' * 23}",
        "fraction for a whole number": "finetune --seed 1.5",
        "unknown method": f"evaluate {AT} --method fll",
        "method without thresholds": f"calibrate {AT} --method full",
        "unknown split": f"evaluate {AT} --split tst",
        "split that leaves the folder": f"evaluate {AT} --split ../test",
        "unknown metric": f"evaluate {AT} --metrics CIDR",
        "no metric": f"evaluate {AT} --metrics ''",
        "table 5": f"table 5 {AT}",
        "table x": f"table x {AT}",
        "unknown format": f"table 1 {AT} --format html",
        "reduction above 1": f"calibrate {AT} --target-reduction 1.5",
        "reduction in per cent": f"calibrate {AT} --target-reduction 40",
        "reduction of 0": f"calibrate {AT} --target-reduction 0",
        "negative reduction": f"calibrate {AT} --target-reduction -0.1",
        "reduction that is no number": f"calibrate {AT} --target-reduction nan",
        "no repeats": f"bench {AT} --repeats 0",
        "batches of 1": f"bench {AT} --batch-size 1",
        "batches of 100,000": f"bench {AT} --batch-size 100000",
        "unknown random size": "bench --random enormous",
        "random weights and weights": "bench --random base --weights x",
        "two models": f"export --out out {AT} --weights x",
        "a report of nothing": "report --run runs/none",
        "unknown device": f"evaluate {AT} --device tpu",
        "no scenes": "prepare shapes --train 0",
        "pictures of 8 pixels": "prepare shapes --image-size 8",
        "vocabulary of 10": "prepare shapes --vocab-size 10",
        "65 workers": "prepare coco --num-workers 65",
        "seeds that are words": "study --seeds x",
        "seeds without end": "study --seeds 99999999999",
        "seed of 5,000 digits": f"study --seeds {'9' * 5000}",
        "no seeds": "study --seeds 0",
        "unknown row": "study --only nothing",
        "unknown study": "study shape-caption",
        "unknown task": "demo --task vqa",
        "demo with an unknown key": "demo --out new --set nonsense.key=1",
        "demo with half an override": "demo --out new --set training.steps",
    }.items():
        yield Bad(kind, what, words)


def recipes() -> Iterator[Bad]:
    kind = "Recipe files"
    for what, text in {
        "empty": "",
        "only a comment": "# nothing\n",
        "a list": "- a\n",
        "a word": "a\n",
        "not UTF-8": b"name: caf\xe9\n",
        "UTF-16 without its mark": HEAD.encode("utf-16-le"),
        "a picture": b"\x89PNG\r\n\x1a\n\x00\x00",
        "a tab": HEAD + "exits:\n\tbeta: 1\n",
        "a key twice": HEAD + "name: other\n",
        "two documents": HEAD + "---\nname: b\n",
        "an open bracket": "a: [1\n",
        "3,000 brackets": "[" * 3000,
        "1,500 levels": HEAD + "model: " + "{a: " * 1500 + "1" + "}" * 1500,
        "an alias bomb": HEAD + BOMB,
        "an alias within itself": "name: &a [*a]\n",
        "an unknown alias": HEAD + "seed: *a\n",
        "a tag that runs code": HEAD + "seed: !!python/object:os.system 1\n",
        "`!!int ''`": HEAD + "seed: !!int ''\n",
        "`!!bool x`": HEAD + "seed: !!bool x\n",
        "`!!timestamp x`": HEAD + "seed: !!timestamp x\n",
        "a number of 5,000 digits": HEAD + f"seed: {'9' * 5000}\n",
        "a list as key": HEAD + "? [a]\n: 1\n",
        "a control character": HEAD + "seed: \x07\n",
        "no task": "name: mine\n",
        "no name": "task: caption\n",
        "unknown task": "name: mine\ntask: vqa\n",
        "unknown section": HEAD + "trainin: {steps: 3}\n",
        "unknown key": HEAD + "training: {step: 3}\n",
        "a section that is a number": HEAD + "training: 3\n",
        "a section that is a list": HEAD + "training: [steps]\n",
        "number in quotes": HEAD + 'exits: {beta: "0.5"}\n',
        "name with a slash": "name: ../up\ntask: caption\n",
        "name with a line break": 'name: "a\\nb"\ntask: caption\n',
        "name of 5,000 letters": f"name: {'n' * 5000}\ntask: caption\n",
        "data set of another task": HEAD + "data: {dataset: snli-ve}\n",
        "unknown metric": HEAD + "evaluation: {metrics: [CIDR]}\n",
        "one metric, no list": HEAD + "evaluation: {metrics: CIDEr}\n",
        "precision that is gone": HEAD + "inference: {precision: int8}\n",
    }.items():
        yield Bad(kind, what, "recipes check mine.yaml", write("mine.yaml", text))
    for what, words in {
        "no name": "recipes check ''",
        "unknown name": "finetune --recipe shape-caption",
        "no such file": "finetune --recipe no/such.yaml",
        "empty name": "finetune --recipe ''",
        "name of 5,000 letters": f"finetune --recipe {'r' * 5000}",
        "path of 5,000 letters": f"finetune --recipe a/{'r' * 5000}.yaml",
        "name with a line break": "finetune --recipe 'a\nb'",
    }.items():
        yield Bad(kind, what, words)
    for what, damage in {
        "a named pipe": pipe(Path("mine.yaml")),
        "a folder": directory(Path("mine.yaml")),
        "a link to itself": loop(Path("mine.yaml")),
        "a device": device(Path("mine.yaml")),
    }.items():
        yield Bad(kind, what, "finetune --recipe mine.yaml", damage)


def overrides() -> Iterator[Bad]:
    kind = "Overrides"
    for setting in (
        "training.steps",
        "=3",
        "training.=3",
        "nonsense.key=1",
        "Training.Steps=5",
        "training.steps.x=5",
        "training.steps=1.5",
        "training.steps=0",
        "training.steps=true",
        "training.steps=\uff15",
        "training.steps=99999999999",
        "training.learning_rate=0",
        "training.learning_rate=.nan",
        "training.learning_rate=high",
        "training.warmup=1.5",
        "training.layer_loss=max",
        "training=3",
        "training=[",
        "exits.metod=mue",
        "exits.method=mu",
        "exits.beta=1.5",
        "exits.image=high",
        "exits.image=.inf",
        f"exits.tau={'9' * 400}",
        "model.decompose=1",
        "model.preset=7",
        "model.preset=enormous",
        "model.config.embed_dim=-1",
        "model.config.embed_dim=2000000000",
        "model.config.num_heads=5",
        "model.config.max_positions=1",
        "model.config.token_buckets=1",
        "model.config.vocab_size=5",
        "model.config.nonsense=5",
        "model.config={1: 2}",
        "model.weights=no/such/file.pt",
        "data.image_size=8",
        "data.image_size=272",
        "data.image_size=20000",
        "data.root=no/such/folder",
        "data.root=''",
        "data.max_source_tokens=100000",
        "search.length_penalty=2000",
        "search.length_penalty=-1e308",
        "search.temperature=1e-45",
        "search.beam=0",
        "search.beam=100000",
        "search.min_tokens=30",
        "search.max_tokens=100000",
        f"seed={2**64}",
        "data.root=",
        "seed=",
        "name=../up",
        "calibration.target_reduction=40",
        "calibration.max_evaluations=2",
        "a: [" * 2000 + "=1",
        "training.steps=" + "[" * 3000,
    ):
        short = setting if len(setting) < 40 else setting[:37] + "..."
        base = f"finetune --run new --set data.root={DATA} --set data.image_size=32"
        yield Bad(kind, f"`{short}`", f"{base} --set {shlex.quote(setting)}")
    for setting in (
        "data.image_size=272",
        "data.image_size=4096",
        "search.max_tokens=4000",
        "evaluation.metrics=[CIDR]",
        "model.preset=base",
        "model.config.embed_dim=32",
    ):
        yield Bad(kind, f"`{setting}` after training", f"evaluate {AT} --set {setting}")
    for setting in ("exits.image=9", "exits.image=1.5", "exits.image=0", "exits.image=95"):
        others = "--set exits.text=1 --set exits.decoder=1"
        words = f"evaluate {AT} --method static --set {setting} {others}"
        yield Bad(kind, f"`{setting}` for static", words)


def places() -> Iterator[Bad]:
    kind = "Places"
    long = "r" * 300
    for what, words in {
        "run folder that is a file": "finetune --run pictures/good.png",
        "run folder under a file": "finetune --run pictures/good.png/run",
        "run folder of a long name": f"finetune --run {long}",
        "run folder in /proc": "finetune --run /proc/run",
        "run folder that is prepared data": f"finetune --run {DATA}",
        "run folder that is nowhere": "evaluate --run nowhere",
        "nothing calibrated there": "plot saturation --run nowhere",
        "nothing trained there": "calibrate --run nowhere",
        "no run folder": "finetune --run ''",
        "prepared data under a file": "prepare shapes --train 4 --val 2 --test 2 --out pictures/good.png/x",
        "prepared data where a file is": "prepare shapes --train 4 --val 2 --test 2 --out pictures/good.png",
        "prepared data where other files are": "prepare shapes --train 4 --val 2 --test 2 --out pictures",
        "prepared data here": "prepare shapes --train 4 --val 2 --test 2 --out .",
        "prepared data nowhere": "prepare shapes --train 4 --val 2 --test 2 --out ''",
        "prepared data of a long name": f"prepare shapes --train 4 --val 2 --test 2 --out {long}",
        "source that is nowhere": "prepare coco --source nowhere",
        "source that is a file": "prepare flickr8k --source pictures/good.png",
        "source of a long name": f"prepare snli-ve --source {long}",
        "images that are nowhere": "prepare snli-ve --source pictures --images nowhere",
        "export where files are": f"export --out pictures {AT}",
        "export under a file": f"export --out pictures/good.png/x {AT}",
        "export of a long name": f"export --out {long} {AT}",
        "weights nowhere": "evaluate --weights no/such/file.pt",
        "weights of no name": "evaluate --weights ''",
        "weights in a folder without any": "evaluate --weights pictures",
        "weights that are a picture": "evaluate --weights pictures/good.png",
        "page under a file": f"predict pictures {AT} --html pictures/good.png/page.html",
        "page where a folder is": f"predict pictures {AT} --html pictures",
        "a study of a long name": f"study {long}",
        "a study under a file": "study pictures/good.png/study.yaml",
        "a study in a file": "study --run pictures/good.png",
    }.items():
        yield Bad(kind, what, words)
    yield Bad(
        kind,
        "run folder that is a link to itself",
        "finetune --run loop",
        loop(Path("loop")),
    )
    yield Bad(
        kind,
        "recipe.yaml that somebody wrote",
        f"finetune --recipe shapes-caption --set data.root={DATA} --set data.image_size=32 --run .",
        write("recipe.yaml", f"# mine\n{HEAD}data: {{root: {DATA}}}\n"),
    )
    yield Bad(kind, "run that was trained", f"finetune {AT}")
    yield Bad(kind, "run of another task", f"evaluate {AT} --recipe shapes-entailment")


def pictures() -> Iterator[Bad]:
    kind = "Pictures"
    bad = Path("pictures/bad.png")
    for what, words, damage in (
        ("no such picture", "predict no.png", None),
        ("pattern of none", "predict 'pictures/*.gif'", None),
        ("folder of none", "predict empty", directory(Path("empty"))),
        ("text", f"predict {bad}", write(bad, "no picture")),
        ("empty file", f"predict {bad}", write(bad, "")),
        ("cut in half", f"predict {bad}", write(bad, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")),
        ("named pipe", f"predict {bad}", pipe(bad)),
        ("device", f"predict {bad}", device(bad)),
        ("link to itself", f"predict {bad}", loop(bad)),
        ("name of 300 letters", f"predict {'p' * 300}.png", None),
        ("no name", "predict ''", None),
        ("hypothesis for a captioner", "predict pictures --hypothesis 'a dog'", None),
    ):
        yield Bad(kind, what, f"{words} {AT}", damage or (lambda: None))


TEXTS = {
    "empty": "",
    "not UTF-8": b"\x80\x81\n",
    "nested 100,000 deep": DEEP,
    "cut": None,
    "a named pipe": pipe,
}
READERS = {
    RUN / "recipe.yaml": f"evaluate {AT}",
    RUN / "thresholds.yaml": f"evaluate {AT}",
    RUN / "tokenizer.json": f"evaluate {AT}",
    RUN / "records.jsonl": f"table 1 {AT}",
    RUN / "traces.jsonl": f"plot exits {AT}",
    RUN / "calibration.jsonl": f"plot tradeoff {AT} --split val",
    RUN / "train.jsonl": f"finetune {AT} --resume --set training.steps=6",
    DATA / "manifest.json": f"evaluate {AT}",
}
BINARIES = {
    RUN / "checkpoint.safetensors": f"evaluate {AT}",
    RUN / "last.pt": f"finetune {AT} --resume --set training.steps=6",
    RUN / "saturation.npz": f"plot saturation {AT}",
    RUN / "modality.npz": f"table 2 {AT}",
    RUN / "depth.npz": f"plot depth {AT}",
    DATA / "caption" / "test" / "data.arrow": f"evaluate {AT}",
}


def stored_files() -> Iterator[Bad]:
    for path, words in READERS.items():
        for what, content in TEXTS.items():
            if path.name == "train.jsonl" and what not in ("not UTF-8", "a named pipe"):
                continue  # lines that are none are dropped
            damage = (
                cut(path)
                if content is None
                else content(path)
                if callable(content)
                else write(path, content)
            )
            yield Bad(f"Stored files: {path.name}", what, words, damage)
    for path, words in BINARIES.items():
        for what, damage in {
            "empty": write(path, ""),
            "text": write(path, "no such file\n"),
            "cut": cut(path),
            "a named pipe": pipe(path),
        }.items():
            yield Bad(f"Stored files: {path.name}", what, words, damage)


def stored_values() -> Iterator[Bad]:
    thresholds, records, traces = (
        RUN / name for name in ("thresholds.yaml", "records.jsonl", "traces.jsonl")
    )
    for what, damage in {
        "a word for a threshold": replaced(thresholds, r"image: [\d.e-]+", "image: high"),
        "a threshold that is no number": replaced(thresholds, r"image: [\d.e-]+", "image: .nan"),
        "no thresholds": replaced(thresholds, r"thresholds:\n(  .*\n)+", ""),
        "an unknown stream": replaced(thresholds, r"  image: ", "  sound: "),
        "a negative threshold": replaced(thresholds, r"image: [\d.e-]+", "image: -3"),
        "another method": replaced(thresholds, r"method: mue", "method: deebert"),
        "no samples": replaced(thresholds, r"samples: \d+", "samples: 0"),
        "unknown key": replaced(thresholds, r"metric:", "metrik:"),
    }.items():
        yield Bad("Stored values: thresholds.yaml", what, f"evaluate {AT}", damage)
    for what, change in {
        "costs is a list": lambda values: values.update(costs=[1]),
        "a cost is text": lambda values: values["costs"].update(expected="much"),
        "no expected reduction": lambda values: values["costs"].pop("expected"),
        "a score is text": lambda values: values["scores"].update({values["metric"]: "high"}),
        "no score of its metric": lambda values: values["scores"].pop(values["metric"]),
        "scores are null": lambda values: values.update(scores=None),
        "seed is text": lambda values: values.update(seed="first"),
        "settings are a list": lambda values: values.update(settings=[]),
        "no samples": lambda values: values.update(num_samples=0),
        "an unknown key": lambda values: values.update(nonsense=1),
        "a key is missing": lambda values: values.pop("method"),
        "confidence has one bound": lambda values: values.update(confidence={"CIDEr": [1]}),
    }.items():
        for words in ("table 1", "plot tradeoff")[: 2 if "text" in what else 1]:
            yield Bad(
                "Stored values: records.jsonl", what, f"{words} {AT}", edited(records, change)
            )
    for what, change in {
        "no streams": lambda values: values.update(encoder_exits={}),
        "layer 0": lambda values: values.update(encoder_exits={"image": 0, "text": 1}),
        "layer 99": lambda values: values.update(encoder_exits={"image": 99, "text": 1}),
        "no words": lambda values: values.update(num_words=-1),
        "more words than steps": lambda values: values.update(num_words=99),
        "exits are text": lambda values: values.update(decoder_exits="all"),
        "no tokens": lambda values: values.update(encoder_tokens={}),
        "no such evaluation": lambda values: values.update(evaluation="nothing"),
        "a key is missing": lambda values: values.pop("sample_id"),
    }.items():
        yield Bad("Stored values: traces.jsonl", what, f"plot exits {AT}", edited(traces, change))
    manifest = DATA / "manifest.json"
    for what, change in {
        "counts are null": lambda values: values.update(counts=None),
        "counts are a list": lambda values: values.update(counts=[]),
        "a count is text": lambda values: values["counts"]["caption"]["test"].update(images="many"),
        "a split is null": lambda values: values["counts"]["caption"].update(test=None),
        "num_images is text": lambda values: values.update(num_images="many"),
        "another format": lambda values: values.update(format=99),
        "no name": lambda values: values.pop("name"),
    }.items():
        damage = edited(manifest, change)
        yield Bad("Stored values: manifest.json", what, f"evaluate {AT}", damage)


def missing_files() -> Iterator[Bad]:
    for path, words in {
        **READERS,
        **{p: w for p, w in BINARIES.items() if p.name != "last.pt"},
    }.items():
        if path.name in ("train.jsonl", "recipe.yaml", "calibration.jsonl", "saturation.npz"):
            continue
        yield Bad("Missing files", path.name, words, removed(path))
    yield Bad("Missing files", "prepared data", f"evaluate {AT}", removed(DATA))


ODD = {
    "a named pipe": pipe,
    "a device": device,
    "a folder": directory,
    "a link to itself": loop,
}


def odd_places() -> Iterator[Bad]:
    kind = "Pipes, devices, folders and loops"
    odd = Path("odd")
    for what, words in {
        "/": f"evaluate {AT} --set data.root=/",
        "/proc": f"evaluate {AT} --set data.root=/proc",
        "/dev/null for prepared data": "prepare shapes --train 4 --val 2 --test 2 --out /dev/null",
        "/dev/zero for a source": "prepare snli-ve --source /dev/zero --out out",
    }.items():
        yield Bad(kind, what, words)
    for what, make in ODD.items():
        is_folder = what == "a folder"
        for words in (
            *(() if is_folder else (f"bench {AT} --set data.root=odd", "finetune --run odd")),
            f"evaluate {AT} --set data.root=odd",
            "prepare coco --source odd --out out",
            "evaluate --weights odd",
            "study odd.yaml",
            f"predict pictures {AT} --out odd.jsonl",
        ):
            name = next(word for word in words.split() if "odd" in word).partition("=")[2] or odd
            place = Path(
                "odd.yaml" if "study" in words else "odd.jsonl" if ".jsonl" in words else name
            )
            yield Bad(kind, what, words, make(place))
        for path in (RUN / "train.jsonl", RUN / "promises.jsonl", RUN / "last.pt"):
            if (path.name, what) in (("train.jsonl", "a named pipe"), ("last.pt", "a named pipe")):
                continue  # stored files, below
            if path.name != "last.pt" and what == "a link to itself":
                continue  # as if there were none
            words = f"finetune {AT} --resume --set training.steps=6"
            words = f"evaluate {AT}" if "promises" in path.name else words
            yield Bad(kind, f"{what} for {path.name}", words, make(path))
        if what != "a link to itself":
            page = f"predict pictures {AT} --html odd.html"
            yield Bad(kind, f"{what} for a page", page, make(Path("odd.html")))
    for name in ("manifest.json", "caption/test/data.arrow"):
        yield Bad(kind, f"a device for {name}", f"evaluate {AT}", linked(DATA / name, "/dev/zero"))


PAIR = '{"Flickr30K_ID": "1", "pairID": "1#0", "sentence1": "A.", "sentence2": "B.", "gold_label": "neutral"}'


def sources_to_prepare() -> Iterator[Bad]:
    kind = "Sources to prepare"
    coco, karpathy = "captions_val2017.json", "dataset_flickr8k.json"
    for what, text in {
        "empty": "",
        "a list": "[]",
        "cut": '{"images": [{"id": 1, "file_name": "good',
        "nested 100,000 deep": DEEP,
        "not UTF-8": '{"info": "caf\xe9"}'.encode("latin-1"),
        "UTF-16 without its mark": '{"images": []}'.encode("utf-16-le"),
    }.items():
        yield Bad(kind, f"COCO captions: {what}", PREPARE.format("coco"), sources(text, coco))
        yield Bad(
            kind, f"Karpathy's file: {what}", PREPARE.format("flickr8k"), sources(text, karpathy)
        )
    yield Bad(
        kind, "COCO boxes alone", PREPARE.format("coco"), sources("{}", "instances_val2017.json")
    )
    parts = [f"snli_ve_{part}.jsonl" for part in ("train", "dev", "test")]
    text = f"{PAIR}\n{PAIR}caf\xe9\n".encode("latin-1")
    yield Bad(kind, "SNLI-VE: not UTF-8", PREPARE.format("snli-ve"), sources(text, *parts))


PREPARE = "prepare {} --source source --out out"


def kept_states() -> Iterator[Bad]:
    for what, change in {
        "no step": lambda state: state.pop("step"),
        "step is text": lambda state: state.update(step="four"),
        "more steps than asked for": lambda state: state.update(step=10**15),
        "best is NaN": lambda state: state.update(best=float("nan")),
        "optimizer is a list": lambda state: state.update(optimizer=[1]),
        "optimizer is empty": lambda state: state.update(optimizer={}),
        "random is text": lambda state: state.update(random="x"),
        "random is nothing": lambda state: state.update(random=None),
        "pending is text": lambda state: state.update(pending="x"),
    }.items():
        words = f"finetune {AT} --resume --set training.steps=6"
        yield Bad("Stored values: last.pt", what, words, in_state(change))
    for name in ("records.jsonl", "traces.jsonl", "calibration.jsonl"):
        path = RUN / name
        damage = appended(path, b'{"caf\xe9": 1}\n')
        yield Bad(f"Stored files: {name}", "a line that is not UTF-8", READERS[path], damage)


def appended(path: Path, content: bytes) -> Damage:
    return lambda: path.write_bytes(path.read_bytes() + content)


def all_bad() -> list[Bad]:
    """Return every bad input, in the order of the docs."""
    makers = (
        words_of_the_command_line,
        recipes,
        overrides,
        places,
        pictures,
        missing_files,
        stored_files,
        stored_values,
        kept_states,
        odd_places,
        sources_to_prepare,
    )
    return [bad for make in makers for bad in make()]
