"""A record: one evaluated point, scores and costs side by side. One line of `records.jsonl`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    """What one method scored on one split, and what it cost.

    scores: metric name -> value as papers print it: CIDEr 1.287 as 128.7, accuracy as per cent. Which metrics were left out, and why, is in
        `left_out` (metric name -> reason).
    metric: the name in `scores` that the task is judged by ("CIDEr", "accuracy").
    costs: fractions in [0, 1] unless named otherwise: "expected" (Eq. 14), "expected_token_weighted", "flops", "measured" (1 - median time over
        that of `full`; absent when it was not timed), "gflops_per_sample", "latency_ms", "full_latency_ms", "image_layers", "text_layers" or
        "joint_layers", "decoder_layers" (mean exit layers), "num_encoder_layers", "num_decoder_layers".
    settings: thresholds and decoding settings, for the reader.
    """

    recipe: str
    task: str
    dataset: str
    split: str
    method: str
    seed: int
    num_samples: int
    metric: str
    scores: Mapping[str, float]
    costs: Mapping[str, float]
    settings: Mapping[str, object] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return self.scores[self.metric]
