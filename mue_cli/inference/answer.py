"""Closed-set answers: one pass over the prompt, then a choice among the answers' tokens (OFA's
constrained scoring).

Every answer is one token followed by a forced end-of-sequence, so scoring whole answers equals
comparing their logits at the prompt's end.

Shape letters: B rows, T prompt positions, A answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mue_cli.exits.methods import Method
from mue_cli.inference.decode import decode_prompt
from mue_cli.inference.encode import Encoded
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.walk import Probe
from mue_cli.model.backbone import Backbone
from mue_cli.model.encoder import PAD_ID


@dataclass(frozen=True)
class Answered:
    """choice: index into the answers. log_probs: one per answer, over the answers alone.
    num_positions: the prompt's length.
    """

    choice: int
    log_probs: tuple[float, ...]
    exit_layer: int
    num_positions: int


def answer(
    model: Backbone,
    tables: PositionTables,
    method: Method,
    encoded: Encoded,
    prompt: Tensor,
    answer_ids: Sequence[int],
    probes: Mapping[str, Probe] | None = None,
) -> list[Answered]:
    """Choose among `answer_ids` for every row; prompt: (B, T), starts with BOS, padded on the
    right.
    """
    padding_mask = prompt.eq(PAD_ID)
    output = decode_prompt(
        model,
        tables,
        method,
        encoded,
        prompt,
        padding_mask,
        answer_ids,
        (probes or {}).get("decoder"),
    )
    assert output.logits is not None
    logits = output.logits[:, 0].float()  # (B, A)
    lengths = (~padding_mask).sum(1).tolist()
    return [
        Answered(int(choice), tuple(row), exit_layer, length)
        for choice, row, exit_layer, length in zip(
            logits.argmax(1).tolist(),
            logits.log_softmax(1).tolist(),
            output.exit_layers,
            lengths,
            strict=True,
        )
    ]
