"""What training computes with, by name: weights, norms, softmax and loss are float32 either way.

| name | products |
| --- | --- |
| float32 | float32 |
| bfloat16 | bfloat16, where a processor has units for it (GPUs; CPUs with AMX or AVX-512 BF16) |
"""

from contextlib import AbstractContextManager

import torch


def products(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return a context in which matrix products and convolutions have this precision.

    The weights' bfloat16 copies live as long as the context: enter it once per batch, not around a
    whole training.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
