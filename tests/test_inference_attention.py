"""Attention, whichever way its keys lie in memory."""

import pytest
import torch

from mue_cli.inference.attention import attend_to_parts
from mue_cli.model.attention import Attention


@torch.inference_mode()
@pytest.mark.parametrize("num_queries", [1, 5, 19])
@pytest.mark.parametrize(("rows", "rows_of_keys"), [(1, 1), (3, 3), (3, 1)])
def test_keys_that_lie_transposed_give_the_same(num_queries, rows, rows_of_keys):
    torch.manual_seed(0)
    attention = Attention(embed_dim=24, num_heads=3, scale_factor=2.0, head_scale=True)
    x = torch.randn(rows, num_queries, 24)
    keys, values = torch.randn(2, rows_of_keys, 3, 37, 8)
    padded = torch.arange(37) >= torch.tensor([37, 30, 21])[:rows, None, None, None]
    for shared in (torch.randn(1, 3, num_queries, 37), torch.randn(1, 3, 1, 37)):
        for bias in (shared, shared.masked_fill(padded, float("-inf")), None):
            plain = attend_to_parts([(slice(None), keys, values)], bias)(attention, x)
            transposed = keys.transpose(2, 3).contiguous().transpose(2, 3)
            assert torch.allclose(
                attend_to_parts([(slice(None), transposed, values)], bias)(attention, x),
                plain,
                atol=1e-5,
            )
