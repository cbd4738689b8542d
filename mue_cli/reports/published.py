"""What the paper printed: Tables 1 to 4 of MuE (Tang et al., CVPR 2023).

Captions are of COCO (Karpathy test): BLEU-4, METEOR, CIDEr, SPICE. Entailment is SNLI-VE: accuracy
in per cent on "dev" and "test". Reductions are the paper's expected time reductions (Eq. 14)
against OFA-Base, as fractions: its "-50%" is 0.5 here, its "1" is 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SOURCE = "MuE, CVPR 2023, Table 1"
DATASETS = {"caption": "coco", "entailment": "snli-ve"}
DATA_NAMES = {"caption": "COCO (Karpathy test)", "entailment": "SNLI-VE"}
FULL_MODEL = "OFA-Base"
JUDGED_BY = {"caption": "CIDEr", "entailment": "test"}
"""The score of a task that figures and reductions are about."""


@dataclass(frozen=True)
class PublishedPoint:
    """model: as the paper calls it. method: the name of ours, "" where it is another size of the
    full model. reduction: in [0, 1].
    """

    task: str
    model: str
    method: str
    score: float
    reduction: float


@dataclass(frozen=True)
class PublishedRow:
    """model: as the paper calls it. row: as our study calls it. scores: by name, only what is
    printed. reduction: in [0, 1].
    """

    model: str
    row: str
    scores: Mapping[str, float]
    reduction: float


@dataclass(frozen=True)
class PublishedExits:
    """A line of Table 2: mean layers of each stream, of the encoder's six, and the scores with
    them.
    """

    image_layers: float
    text_layers: float
    scores: Mapping[str, float]


def _caption(bleu_4: float, meteor: float, cider: float, spice: float) -> dict[str, float]:
    return {"BLEU-4": bleu_4, "METEOR": meteor, "CIDEr": cider, "SPICE": spice}


def _entailment(dev: float, test: float) -> dict[str, float]:
    return {"dev": dev, "test": test}


TABLE_1: Mapping[str, Sequence[PublishedRow]] = {
    "caption": (
        PublishedRow("OFA-Base", "full", _caption(42.8, 31.7, 146.7, 25.8), 0.0),
        PublishedRow("OFA-Tiny", "small", _caption(38.1, 29.2, 128.7, 23.1), 0.33),
        PublishedRow("DeeBERT", "deebert", _caption(30.1, 26.3, 102.1, 20.5), 0.155),
        PublishedRow("PABEE", "pabee", _caption(31.4, 26.8, 105.8, 21.0), 0.163),
        PublishedRow("DeeCap", "deecap", _caption(38.7, 29.1, 129.0, 22.5), 0.38),
        PublishedRow("MuE", "mue", _caption(41.6, 30.6, 137.0, 24.4), 0.402),
    ),
    "entailment": (
        PublishedRow("OFA-Base", "full", _entailment(89.3, 89.2), 0.0),
        PublishedRow("OFA-Tiny", "small", _entailment(85.3, 85.2), 0.33),
        PublishedRow("DeeBERT", "deebert", _entailment(78.9, 78.8), 0.15),
        PublishedRow("PABEE", "pabee", _entailment(85.3, 85.2), 0.153),
        PublishedRow("MuE", "mue", _entailment(88.7, 88.5), 0.50),
    ),
}
"""The models. The paper has no DeeCap for entailment."""

TABLE_2: Mapping[str, Sequence[PublishedExits]] = {
    "caption": (
        PublishedExits(6.0, 6.0, _caption(42.4, 31.2, 143.9, 25.1)),
        PublishedExits(3.1, 2.0, _caption(32.8, 27.4, 112.1, 20.8)),
        PublishedExits(3.1, 6.0, _caption(33.1, 27.4, 112.2, 20.7)),
        PublishedExits(6.0, 2.0, _caption(42.0, 31.2, 143.6, 25.1)),
    ),
    "entailment": (
        PublishedExits(6.0, 6.0, _entailment(88.6, 88.7)),
        PublishedExits(2.03, 2.9, _entailment(76.1, 75.6)),
        PublishedExits(6.0, 2.9, _entailment(79.1, 79.5)),
        PublishedExits(2.03, 6.0, _entailment(88.4, 88.6)),
    ),
}
"""Which stream needs its layers. The first line of a task is the whole encoder."""

TABLE_3: Mapping[str, Sequence[PublishedRow]] = {
    "caption": (
        PublishedRow("OFA-Base", "full", _caption(42.8, 31.7, 146.7, 25.8), 0.0),
        PublishedRow("MuE", "mue", _caption(42.0, 31.3, 142.7, 25.1), 0.20),
        PublishedRow("MuE", "mue", _caption(42.0, 31.1, 141.7, 25.1), 0.289),
        PublishedRow("MuE", "mue", _caption(41.6, 30.7, 139.3, 24.4), 0.342),
        PublishedRow("MuE", "mue", _caption(41.0, 30.0, 133.9, 23.6), 0.45),
    ),
    "entailment": (
        PublishedRow("OFA-Base", "full", _entailment(89.3, 89.2), 0.0),
        PublishedRow("MuE", "mue", _entailment(88.8, 88.7), 0.19),
        PublishedRow("MuE", "mue", _entailment(88.7, 88.6), 0.37),
        PublishedRow("MuE", "mue", _entailment(88.6, 88.5), 0.45),
        PublishedRow("MuE", "mue", _entailment(87.7, 87.5), 0.55),
    ),
}
"""The trade-off of MuE, by rising reduction."""

TABLE_4: Mapping[str, Sequence[PublishedRow]] = {
    "caption": (
        PublishedRow("MuE Full", "mue", {"CIDEr": 137.0}, 0.402),
        PublishedRow("w/o Decom", "mue-joint", {"CIDEr": 117.5}, 0.21),
        PublishedRow("w/o Task loss", "mue-last", {"CIDEr": 117.9}, 0.25),
    ),
    "entailment": (
        PublishedRow("MuE Full", "mue", {"test": 88.5}, 0.50),
        PublishedRow("w/o Decom", "mue-joint", {"test": 75.0}, 0.35),
        PublishedRow("w/o Task loss", "mue-last", {"test": 87.0}, 0.47),
    ),
}
"""The ablation. The paper prints one score per task."""


def source(number: int) -> str:
    """Return where the numbers of a table are from."""
    return f"MuE, CVPR 2023, Table {number}"


def _point(task: str, row: PublishedRow) -> PublishedPoint:
    method = "" if row.row == "small" else row.row
    return PublishedPoint(task, row.model, method, row.scores[JUDGED_BY[task]], row.reduction)


PUBLISHED = tuple(_point(task, row) for task, rows in TABLE_1.items() for row in rows)


def published_points(task: str) -> Sequence[PublishedPoint]:
    """Return the paper's points of "caption" (CIDEr) or "entailment" (accuracy, per cent); none for
    another task.
    """
    return [point for point in PUBLISHED if point.task == task]


def published_full_score(task: str) -> float:
    """Return the score of the full model, that the paper's reductions are against."""
    return next(point.score for point in published_points(task) if point.model == FULL_MODEL)
