"""What the paper printed: Table 1 of MuE (Tang et al., CVPR 2023), test splits.

The scores are on COCO (Karpathy test, CIDEr) and SNLI-VE test (accuracy); the reductions are its expected time reductions (Eq. 14) against
OFA-Base.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SOURCE = "MuE, CVPR 2023, Table 1"
DATASETS = {"caption": "coco", "entailment": "snli-ve"}
FULL_MODEL = "OFA-Base"


@dataclass(frozen=True)
class PublishedPoint:
    """model: as the paper calls it. method: the name of ours, "" where it is another size of the full model. reduction: in [0, 1]."""

    task: str
    model: str
    method: str
    score: float
    reduction: float


PUBLISHED = (
    PublishedPoint("caption", "OFA-Base", "full", 146.7, 0.0),
    PublishedPoint("caption", "OFA-Tiny", "", 128.7, 0.33),
    PublishedPoint("caption", "DeeBERT", "deebert", 102.1, 0.155),
    PublishedPoint("caption", "PABEE", "pabee", 105.8, 0.163),
    PublishedPoint("caption", "DeeCap", "deecap", 129.0, 0.38),
    PublishedPoint("caption", "MuE", "mue", 137.0, 0.402),
    PublishedPoint("entailment", "OFA-Base", "full", 89.2, 0.0),
    PublishedPoint("entailment", "OFA-Tiny", "", 85.2, 0.33),
    PublishedPoint("entailment", "DeeBERT", "deebert", 78.8, 0.15),
    PublishedPoint("entailment", "PABEE", "pabee", 85.2, 0.153),
    PublishedPoint("entailment", "MuE", "mue", 88.5, 0.50),
)


def published_points(task: str) -> Sequence[PublishedPoint]:
    """Return the paper's points of "caption" (CIDEr) or "entailment" (accuracy, per cent); none for another task."""
    return [point for point in PUBLISHED if point.task == task]


def published_full_score(task: str) -> float:
    """Return the score of the full model, that the paper's reductions are against."""
    return next(point.score for point in published_points(task) if point.model == FULL_MODEL)
