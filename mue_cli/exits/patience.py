"""PABEE's rule: a row leaves once so many layers in a row have agreed on the answer (Zhou et al.,
NeurIPS 2020).

Shape letters: B rows, T positions read out (a beam's hypotheses, which must all agree), V classes.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from mue_cli.exits.observation import LooksAt, Observation

_ANSWERS, _AGREEING = "answers", "agreeing"


def agreement(observation: Observation) -> Tensor:
    """Return (B,) int64: how many layers in a row, up to this one, gave the same answer as the
    layer before. Ask once per layer.

    The count starts at 0 after the first layer and falls back to 0 when the answer changes.
    """
    memory, answers = observation.memory, observation.logits().argmax(2)  # (B, T)
    if _ANSWERS in memory:
        memory[_AGREEING] = (memory[_AGREEING] + 1) * (answers == memory[_ANSWERS]).all(1)
    else:
        memory[_AGREEING] = answers.new_zeros(len(answers))
    memory[_ANSWERS] = answers
    return memory[_AGREEING]


@dataclass(frozen=True)
class PatienceRule:
    """Leave when `patience` layers in a row have agreed with the layer before them. patience: at
    least 1; inf never fires.
    """

    patience: float
    looks_at: LooksAt = "logits"

    @property
    def can_fire(self) -> bool:
        return self.patience < math.inf

    def __call__(self, observation: Observation) -> Tensor:
        return agreement(observation) >= self.patience
