"""How long the first caption takes after the start of a process, beside loading the weights alone:
OFA-base, 480 px, 17 words, one thread.

    OMP_NUM_THREADS=1 python tests/benchmarks/cold_start.py [FOLDER] [--turns 5] [--json FILE]

Every turn is a process of its own. It imports the package, loads a checkpoint, packs it for this
machine, captions one picture and a second one; medians over the turns. Weights are random. Needs
0.8 GB of disk in FOLDER (default: a temporary folder).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

PARTS = ("import", "load", "pack", "first caption", "second caption")
BEAMS = (1, 5)
NUM_TOKENS = 16
QUIET_SHARE = 0.95
"""Of the time, spent on the processor by the process; below it something else ran there."""


def write(path: Path) -> None:
    """Write OFA-base with random weights."""
    import torch

    from mue_cli.model import checkpoint
    from mue_cli.model.config import preset
    from mue_cli.model.ofa import OFA

    torch.manual_seed(0)
    checkpoint.save(OFA(preset("base", 59457)), path)


def once(path: Path, beam: int) -> dict[str, float]:
    """Return the seconds of every part in this process, and its share of the processor."""
    marks, start = [time.perf_counter()], time.process_time()

    def mark() -> None:
        marks.append(time.perf_counter())

    import torch

    from mue_cli.exits.methods import full
    from mue_cli.inference.encode import encode
    from mue_cli.inference.positions import PositionTables
    from mue_cli.inference.precision import at_precision
    from mue_cli.inference.search import generate
    from mue_cli.model import checkpoint
    from mue_cli.recipe.recipe import SearchSection

    mark()
    model = checkpoint.load(path).eval()
    mark()
    fast = at_precision(model, "float32")
    tables = PositionTables(fast)
    mark()
    search = SearchSection(beam=beam, max_tokens=NUM_TOKENS, min_tokens=NUM_TOKENS)
    prompt = torch.tensor([[0, 99, 473, 5, 2274, 6190, 116, 2]])
    for seed in (0, 1):
        pixels = torch.rand(1, 3, 480, 480, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            method = full(decompose=False)
            encoded = encode(fast, tables, method, pixels * 2 - 1, prompt)
            generate(fast, tables, method, encoded, search)
        mark()
    whole = marks[-1] - marks[0]
    seconds = [after - before for before, after in pairwise(marks)]
    return {
        **dict(zip(PARTS, seconds, strict=True)),
        "share": (time.process_time() - start) / whole,
    }


def measure(path: Path, turns: int) -> dict[str, dict[str, float]]:
    """Return the medians of each width of the beam."""
    found: dict[str, dict[str, float]] = {}
    for beam in BEAMS:
        runs = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, str(path), "--once", str(beam)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(turns)
        ]
        found[f"beam {beam}"] = {
            name: statistics.median(run[name] for run in runs) for name in (*PARTS, "share")
        }
    return found


def show(name: str, seconds: dict[str, float]) -> str:
    """Return the sentence of one width of the beam."""
    load = seconds["import"] + seconds["load"]
    whole = load + seconds["pack"] + seconds["first caption"]
    parts = ", ".join(f"{part} {seconds[part]:.2f} s" for part in PARTS)
    noisy = "" if seconds["share"] >= QUIET_SHARE else "  (not alone on its core: do not quote)"
    return (
        f"{name}: {parts}\n  start to first caption {whole:.2f} s = {whole / load:.2f} x import and "
        f"load; first caption {seconds['first caption'] / seconds['second caption']:.2f} x the "
        f"second{noisy}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once(arguments.folder, arguments.once)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        path = Path(name) / "checkpoint.safetensors"
        write(path)
        found = measure(path, arguments.turns)
    for beam, seconds in found.items():
        print(show(beam, seconds))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
