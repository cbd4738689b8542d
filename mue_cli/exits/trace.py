"""Who left where. Costs, calibration, tables and plots read traces and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Trace:
    """The exits of one sample. Layers are counted from 1; a stream that never left has its last
    layer's number.

    encoder_exits: exit layer per stream, keys "image" and "text" with decomposition (Eq. 3),
    "joint" without. encoder_tokens: number of non-padding tokens per stream, same keys.
    decoder_exits: exit layer of every decoding step that was run, in order. A beam's hypotheses
    leave together. num_words: how many of those steps emitted a token of the answer that was
    returned (end-of-sequence counted); the n_D,i of Eq. 14 are decoder_exits[:num_words].
    num_hypotheses: hypotheses alive in each decoding step (1 for greedy search), same length as
    decoder_exits. num_positions: decoder positions that each step ran per hypothesis (1 in
    generation; the prompt's length when an answer is scored in one pass).
    """

    sample_id: str
    encoder_exits: Mapping[str, int]
    encoder_tokens: Mapping[str, int]
    decoder_exits: tuple[int, ...]
    num_words: int
    num_hypotheses: tuple[int, ...]
    num_positions: int = 1
