"""Time and peak memory of loading OFA-base from every layout, each in a process of its own; then
whether all give the same logits.

    python tests/benchmarks/load_base.py [FOLDER]

Weights are the golden ones (965 names, no download). Needs 4 GB of disk in FOLDER (default: a
temporary folder) and about two minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

LAYOUTS = (
    "hf float32",
    "hf float16",
    "safetensors float32",
    "safetensors float16",
    "fairseq float32",
    "fairseq float16",
    "mue float32",
)


def path_of(folder: Path, layout: str) -> Path:
    kind, dtype = layout.split()
    name = {
        "hf": "pytorch_model.bin",
        "safetensors": "model.safetensors",
        "fairseq": "base.pt",
        "mue": "checkpoint.safetensors",
    }[kind]
    return folder / f"{kind}-{dtype}" / name


def write(folder: Path) -> None:
    """Write the golden weights of base in every layout."""
    import golden_weights
    import torch
    from released_files import released_shapes, write_fairseq, write_hf
    from safetensors.torch import save_file

    from mue_cli.model import checkpoint
    from mue_cli.model.config import preset
    from mue_cli.model.convert import TIED
    from mue_cli.model.released_settings import hf_config

    exact = golden_weights.state_dict(released_shapes("base"))
    settings = hf_config(preset("base"))
    for dtype in (torch.float32, torch.float16):
        word = str(dtype).removeprefix("torch.")
        state = (
            exact
            if dtype == torch.float32
            else {name: tensor.to(dtype) for name, tensor in exact.items()}
        )
        state |= dict.fromkeys(TIED, state["encoder.embed_tokens.weight"])
        write_hf(path_of(folder, f"hf {word}").parent, state, settings)
        write_fairseq(path_of(folder, f"fairseq {word}"), state)
        target = path_of(folder, f"safetensors {word}")
        target.parent.mkdir()
        save_file({name: tensor for name, tensor in state.items() if name not in TIED}, target)
        (target.parent / "config.json").write_text(json.dumps(settings))
    checkpoint.save(checkpoint.load(path_of(folder, "hf float32")), path_of(folder, "mue float32"))


def peak_mib() -> float:
    """Return this process's peak memory (Linux; getrusage would count the parent's, from before
    this program was started).
    """
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def load(folder: Path, layout: str) -> None:
    """Load one layout and print seconds, peak memory above the imports, size of the weights and a
    fingerprint of logits.
    """
    import torch

    from mue_cli.model import checkpoint

    before = peak_mib()
    start = time.perf_counter()
    model = checkpoint.load(path_of(folder, layout))
    seconds, peak = time.perf_counter() - start, peak_mib() - before
    weights = (
        sum(p.nbytes for p in model.parameters())
        + sum(b.nbytes for b in model.buffers())
        + sum(t.nbytes for t in model.carried.values())
    )
    generator = torch.Generator().manual_seed(0)
    images, tokens = (
        torch.rand(2, 3, 128, 128, generator=generator) * 2 - 1,
        torch.tensor([[0, 99, 473, 5, 2], [0, 99, 473, 2, 1]]),
    )
    with torch.inference_mode():
        logits = model.decoder.logits(
            model(images, tokens, torch.tensor([[0, 10, 313], [0, 10, 313]]), False)[-1]
        )
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_mib": peak,
                "weights_mib": weights / 2**20,
                "logits": logits.flatten()[::997].tolist(),
            }
        )
    )


def measure(folder: Path) -> None:
    """Print a line for each layout. Exits with 1 when a peak is above 1.3 x the float32 weights or
    logits differ.
    """
    results = {}
    for layout in LAYOUTS:
        run = subprocess.run(
            [sys.executable, __file__, str(folder), "--layout", layout],
            capture_output=True,
            text=True,
            check=True,
        )
        results[layout] = json.loads(run.stdout)
        r = results[layout]
        print(
            f"{layout:20}  {r['seconds']:5.1f} s  peak {r['peak_mib']:6.0f} MiB = {r['peak_mib'] / r['weights_mib']:.2f} x the weights",
            flush=True,
        )
    equal = all(r["logits"] == results[LAYOUTS[0]]["logits"] for r in results.values())
    print(
        f"weights {results[LAYOUTS[0]]['weights_mib']:.0f} MiB in float32; logits of all layouts {'equal' if equal else 'DIFFER'}"
    )
    if not equal or any(r["peak_mib"] > 1.3 * r["weights_mib"] for r in results.values()):
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.layout:
        load(arguments.folder, arguments.layout)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        write(Path(name))
        measure(Path(name))


if __name__ == "__main__":
    main()
