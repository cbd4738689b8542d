"""Linear layers packed for oneDNN; single words may go by columns instead.

Shape letters: D_in, D_out of a matrix.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """x W^T + b with W packed; a single row is multiplied by columns once they are kept."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype), None)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.columns: Tensor | None = None

    def keep_columns(self, weight: Tensor) -> Tensor:
        """Keep the matrix, (D_out, D_in), once more, every column in one piece; return it."""
        self.columns = weight.detach().t().contiguous().t()
        return self.columns

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D_in) to (..., D_out)."""
        if self.columns is not None and x.numel() == self.columns.shape[1]:
            return F.linear(x, self.columns, self.bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")
