"""Write docs/bad-inputs.md: `python tests/write_bad_inputs.py`, in a checkout."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bad_inputs import all_bad
from bad_world import Bad, Said, make_world, page, say
from conftest import TINY

DOCS = Path(__file__).resolve().parent.parent / "docs" / "bad-inputs.md"


def main() -> None:
    """Make the world, give it every bad input, and write what each printed."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "PATH": ""}
    with tempfile.TemporaryDirectory() as folder:
        pattern = Path(folder, "pattern")
        _prepare(Path(folder), pattern)
        said = [_tried(bad, pattern, Path(folder, "world")) for bad in all_bad()]
        os.chdir(DOCS.parent)
    DOCS.write_text(page(said), encoding="utf-8")
    print(f"{DOCS}: {len(said)} bad inputs")


def _prepare(folder: Path, pattern: Path) -> None:
    """Train, calibrate and evaluate a tiny model, as the tests' conftest does."""
    os.chdir(folder)
    settings = " ".join(f"--set {each}" for each in (*TINY, "data.root=made"))
    sizes = "--train 24 --val 6 --test 6 --image-size 32 --vocab-size 320"
    for words in (
        f"prepare shapes --out made {sizes}",
        f"finetune {settings} --run run",
        "calibrate --target-reduction 0.2 --run run",
        "evaluate --run run",
    ):
        answer = say(words)
        if answer.code:
            sys.exit("\n".join(answer.lines))
    make_world(pattern, Path("made").absolute(), Path("run").absolute())


def _tried(bad: Bad, pattern: Path, world: Path) -> tuple[Bad, Said]:
    shutil.rmtree(world, ignore_errors=True)
    shutil.copytree(pattern, world)
    os.chdir(world)
    bad.damage()
    return bad, say(bad.words)


if __name__ == "__main__":
    main()
