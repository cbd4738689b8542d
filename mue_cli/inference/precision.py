"""The one door to the copy of a model that runs: which it is, a device and a precision say.

- float32: exact, what the weights say; everywhere.
- bfloat16: half the memory traffic; 8 bits of mantissa, so a near-tie may fall the other way. For
  GPUs and CPUs with bfloat16 products; correct but slow on other CPUs.

On a CPU matrices and convolutions are the back end's (mue_cli/inference/cpu/), on a GPU the
convolutions are (mue_cli/inference/cuda/); elsewhere the model's own layers run.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from mue_cli.inference.cpu.backend import packed, packed_part
from mue_cli.inference.cuda.trunk import with_folded_trunk
from mue_cli.model.ofa import OFA

DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def at_precision(model: OFA, name: str) -> OFA:
    """Return a copy of a float32 model, in evaluation mode, for inference."""
    copied = packed(model, DTYPES[name])
    if model.encoder.embed_tokens.weight.device.type == "cuda":
        copied = cast(OFA, with_folded_trunk(copied))
    return copied


def head_at_precision(head: nn.Module, name: str) -> nn.Module:
    """Return a copy of a float32 exit head of the same kind as `at_precision` makes of the model's
    own head.
    """
    return packed_part(head, DTYPES[name])
