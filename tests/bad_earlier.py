"""Bad inputs that would cost what is there already: files of the user's own, or an earlier training."""

from collections.abc import Iterator
from pathlib import Path

from bad_world import AT, DATA, RUN, Bad
from damage import in_state, linked, loop, removed, write

SHAPES = "prepare shapes --train 4 --val 2 --test 2 --out"


def what_is_there() -> Iterator[Bad]:
    kind = "What is there already"
    page = f"predict pictures {AT} --html odd.html"
    for what, words, damage in (
        ("own file in prepared data", f"{SHAPES} {DATA}", write(DATA / "notes.md", "mine")),
        ("own folder in prepared data", f"{SHAPES} {DATA}", write(DATA / "raw" / "a.txt", "mine")),
        ("own file beside it", f"{SHAPES} {DATA}", write(f"{DATA.parent}/.shapes.old/a", "mine")),
        ("source in the data", f"prepare flickr8k --source {DATA}/raw --out {DATA}", None),
        ("download into the data", f"prepare coco --download --source {DATA} --out {DATA}", None),
        (
            "photographs in the data",
            f"prepare snli-ve --source pictures --images {DATA}/photographs.tar --out {DATA}",
            None,
        ),
        ("training that was stopped", f"finetune {AT}", removed(RUN / "checkpoint.safetensors")),
        ("checkpoint alone", f"finetune {AT} --resume", removed(RUN / "last.pt")),
        (
            "training that began with other data",
            f"finetune {AT} --resume --set training.steps=6",
            in_state(lambda state: state.update(data="0" * 64)),
        ),
        ("page that is a link to nowhere", page, linked(Path("odd.html"), "gone")),
        ("page that is a link to itself", page, loop(Path("odd.html"))),
    ):
        yield Bad(kind, what, words, damage or (lambda: None))
