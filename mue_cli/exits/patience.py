"""PABEE's exit score: how many layers in a row gave the same answer (Zhou et al., NeurIPS 2020).

Original: leave once the answers of `patience` layers in a row agree with the layer before them.
Here: the layers of such a row are counted, the first included, and more than `patience` leave: the
same, as a threshold that reads like the other methods'.

Shape letters: B rows, T positions read out (a beam's hypotheses, which must all agree), V classes.
"""

import math

from torch import Tensor

from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore

_ANSWERS, _LAYERS = "answers", "agreeing layers"


def agreeing_layers(observation: Observation) -> Tensor:
    """Return (B,) int64: how many layers in a row, this one counted, gave this answer.

    1 after the first layer, and 1 again when the answer changes.
    """
    memory, layer = observation.memory, observation.layer
    if (layers := f"{_LAYERS} {layer}") not in memory:
        answers = observation.logits().argmax(2)  # (B, T)
        memory[layers] = answers.new_ones(len(answers))
        if layer > 1:
            agree = (answers == memory.pop(_ANSWERS)).all(1)
            memory[layers] += memory.pop(f"{_LAYERS} {layer - 1}") * agree
        memory[_ANSWERS] = answers
    return memory[layers]


AGREEMENT = ExitScore("agreeing layers", agreeing_layers, "logits", 1, math.inf)
