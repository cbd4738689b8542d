"""Bad files: places, pictures, and what the commands keep and read."""

from collections.abc import Iterator
from pathlib import Path

from bad_world import AT, DATA, RUN, Bad
from damage import (
    DEEP,
    HEAD,
    appended,
    cut,
    device,
    directory,
    edited,
    in_state,
    linked,
    loop,
    pipe,
    removed,
    replaced,
    write,
)


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
        ("hypothesis without a word", "predict pictures --hypothesis '...'", None),
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
    DATA / "images" / "data-00000.arrow": f"evaluate {AT}",
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
        "a difference is text": lambda values: values.update(difference={"CIDEr": "large"}),
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
        if path.stem in ("train", "recipe", "calibration", "saturation", "depth"):
            continue  # a default stands for it, or it is measured anew
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
