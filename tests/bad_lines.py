"""Bad words: of the command line, in recipes, and in values of --set."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from bad_world import AT, DATA, Bad
from damage import BOMB, HEAD, device, directory, loop, pipe, write


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
        "a number with a zero in front": HEAD + "training: {steps: 010}\n",
        "a number of minutes": HEAD + "training: {steps: 1:30}\n",
        "`!!int 010`": HEAD + "seed: !!int 010\n",
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
        "training.steps=010",
        "training.learning_rate=1:30",
        "seed=08",
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
        "search.temperature=3",
        "data.prompt=bare",
        "evaluation.metrics=[CIDR]",
        "model.preset=base",
        "model.config.embed_dim=32",
    ):
        yield Bad(kind, f"`{setting}` after training", f"evaluate {AT} --set {setting}")
    for setting in ("exits.image=9", "exits.image=1.5", "exits.image=0", "exits.image=95"):
        others = "--set exits.text=1 --set exits.decoder=1"
        words = f"evaluate {AT} --method static --set {setting} {others}"
        yield Bad(kind, f"`{setting}` for static", words)
