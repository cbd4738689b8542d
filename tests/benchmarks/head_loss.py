"""The layer-wise loss at OFA-base's size, in chunks against all logits at once: seconds and memory
of loss and gradients for 16 captions of 17 words, and how many times the last layer's loss alone.

    PYTHONPATH=.:tests python tests/benchmarks/head_loss.py

Each case runs in a process of its own; its memory is the peak of the process above what the
inputs took.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

CASES = ("chunks 6", "plain 6", "chunks 1", "plain 1")
POSITIONS, DIM, WORDS = 272, 768, 59457


def measure(case: str) -> None:
    """Print seconds of processor time and MiB for one case."""
    import torch
    from twins import plain_cross_entropy

    from mue_cli.training.head_loss import head_loss

    torch.set_num_threads(1)
    torch.manual_seed(0)
    form, layers = case.split()[0], int(case.split()[1])
    hidden = torch.randn(layers, POSITIONS, DIM, requires_grad=True)
    weight = torch.randn(WORDS, DIM).mul_(0.02).requires_grad_()
    targets = torch.randint(0, WORDS, (POSITIONS,))
    before, started = _now(), time.process_time()
    if form == "chunks":
        shares = torch.full((layers, POSITIONS), 1 / layers / POSITIONS)
        loss = head_loss(hidden, weight, targets, shares, 0.1)[0]
    else:
        each = [plain_cross_entropy(state @ weight.t(), targets, 0.1).mean() for state in hidden]
        loss = torch.stack(each).mean()
    loss.backward()
    seconds = time.process_time() - started
    norm = float(hidden.grad.norm() + weight.grad.norm())  # type: ignore[union-attr]
    print(f"{case:9} {seconds:6.1f} s {_peak() - before:7.0f} MiB  gradient {norm:.6f}")


def _now() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(" ".join(sys.argv[1:]))
    else:
        for name in CASES:
            subprocess.run([sys.executable, __file__, *name.split()], check=True)
