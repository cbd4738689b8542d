"""What the paper printed: Tables 1 to 4 of MuE (Tang et al., CVPR 2023), by the metric that judges
the task.

Captions are of COCO (Karpathy test): BLEU-4, METEOR, CIDEr, SPICE. Entailment is SNLI-VE: accuracy
in per cent on "dev" and "test". Reductions are the paper's expected time reductions (Eq. 14)
against OFA-Base, as fractions: its "-50%" is 0.5 here, its "1" is 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mue_cli.errors import DataError

FULL_MODEL = "OFA-Base"


@dataclass(frozen=True)
class PublishedRow:
    """A line of Table 1, 3 or 4.

    model: as the paper calls it. row: as our study calls it. scores: by name, only what is printed.
    reduction: in [0, 1].
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


@dataclass(frozen=True)
class PublishedTask:
    """The paper's tables of one task.

    dataset: as `mue prepare` calls it. data_name: as people do. judged_by: the score that figures
    and reductions are about; judged_by_val: where it stands for the validation split. metrics: ours
    that stand beside the paper's. table_1: the models, the full one first. table_2: which stream
    needs its layers, the whole encoder first. table_3: the trade-off of MuE, by rising reduction,
    the full model first. table_4: the ablation; the paper prints one score.
    """

    dataset: str
    data_name: str
    judged_by: str
    judged_by_val: str
    metrics: Sequence[str]
    table_1: Sequence[PublishedRow]
    table_2: Sequence[PublishedExits]
    table_3: Sequence[PublishedRow]
    table_4: Sequence[PublishedRow]

    @property
    def full_score(self) -> float:
        """The score of the full model, which the paper's reductions are against."""
        return self.table_1[0].scores[self.judged_by]

    def judged(self, split: str) -> str:
        """Return the score that stands beside ours of a split."""
        return self.judged_by_val if split == "val" else self.judged_by


def _captions(bleu_4: float, meteor: float, cider: float, spice: float) -> dict[str, float]:
    return {"BLEU-4": bleu_4, "METEOR": meteor, "CIDEr": cider, "SPICE": spice}


def _entailment(dev: float, test: float) -> dict[str, float]:
    return {"dev": dev, "test": test}


_CAPTIONS = PublishedTask(
    dataset="coco",
    data_name="COCO (Karpathy test)",
    judged_by="CIDEr",
    judged_by_val="CIDEr",
    metrics=("BLEU-4", "METEOR", "CIDEr", "SPICE"),
    table_1=(
        PublishedRow("OFA-Base", "full", _captions(42.8, 31.7, 146.7, 25.8), 0.0),
        PublishedRow("OFA-Tiny", "small", _captions(38.1, 29.2, 128.7, 23.1), 0.33),
        PublishedRow("DeeBERT", "deebert", _captions(30.1, 26.3, 102.1, 20.5), 0.155),
        PublishedRow("PABEE", "pabee", _captions(31.4, 26.8, 105.8, 21.0), 0.163),
        PublishedRow("DeeCap", "deecap", _captions(38.7, 29.1, 129.0, 22.5), 0.38),
        PublishedRow("MuE", "mue", _captions(41.6, 30.6, 137.0, 24.4), 0.402),
    ),
    table_2=(
        PublishedExits(6.0, 6.0, _captions(42.4, 31.2, 143.9, 25.1)),
        PublishedExits(3.1, 2.0, _captions(32.8, 27.4, 112.1, 20.8)),
        PublishedExits(3.1, 6.0, _captions(33.1, 27.4, 112.2, 20.7)),
        PublishedExits(6.0, 2.0, _captions(42.0, 31.2, 143.6, 25.1)),
    ),
    table_3=(
        PublishedRow("OFA-Base", "full", _captions(42.8, 31.7, 146.7, 25.8), 0.0),
        PublishedRow("MuE", "mue", _captions(42.0, 31.3, 142.7, 25.1), 0.20),
        PublishedRow("MuE", "mue", _captions(42.0, 31.1, 141.7, 25.1), 0.289),
        PublishedRow("MuE", "mue", _captions(41.6, 30.7, 139.3, 24.4), 0.342),
        PublishedRow("MuE", "mue", _captions(41.0, 30.0, 133.9, 23.6), 0.45),
    ),
    table_4=(
        PublishedRow("MuE Full", "mue", {"CIDEr": 137.0}, 0.402),
        PublishedRow("w/o Decom", "mue-joint", {"CIDEr": 117.5}, 0.21),
        PublishedRow("w/o Task loss", "mue-last", {"CIDEr": 117.9}, 0.25),
    ),
)

_ENTAILMENT = PublishedTask(
    dataset="snli-ve",
    data_name="SNLI-VE",
    judged_by="test",
    judged_by_val="dev",
    metrics=("accuracy",),
    table_1=(
        PublishedRow("OFA-Base", "full", _entailment(89.3, 89.2), 0.0),
        PublishedRow("OFA-Tiny", "small", _entailment(85.3, 85.2), 0.33),
        PublishedRow("DeeBERT", "deebert", _entailment(78.9, 78.8), 0.15),
        PublishedRow("PABEE", "pabee", _entailment(85.3, 85.2), 0.153),
        PublishedRow("MuE", "mue", _entailment(88.7, 88.5), 0.50),
    ),
    table_2=(
        PublishedExits(6.0, 6.0, _entailment(88.6, 88.7)),
        PublishedExits(2.03, 2.9, _entailment(76.1, 75.6)),
        PublishedExits(6.0, 2.9, _entailment(79.1, 79.5)),
        PublishedExits(2.03, 6.0, _entailment(88.4, 88.6)),
    ),
    table_3=(
        PublishedRow("OFA-Base", "full", _entailment(89.3, 89.2), 0.0),
        PublishedRow("MuE", "mue", _entailment(88.8, 88.7), 0.19),
        PublishedRow("MuE", "mue", _entailment(88.7, 88.6), 0.37),
        PublishedRow("MuE", "mue", _entailment(88.6, 88.5), 0.45),
        PublishedRow("MuE", "mue", _entailment(87.7, 87.5), 0.55),
    ),
    table_4=(
        PublishedRow("MuE Full", "mue", {"test": 88.5}, 0.50),
        PublishedRow("w/o Decom", "mue-joint", {"test": 75.0}, 0.35),
        PublishedRow("w/o Task loss", "mue-last", {"test": 87.0}, 0.47),
    ),
)

PUBLISHED: Mapping[str, PublishedTask] = {"CIDEr": _CAPTIONS, "accuracy": _ENTAILMENT}
"""By the metric that our records of the task are judged by. The paper has no DeeCap for
entailment.
"""


def published(metric: str) -> PublishedTask:
    """Return the paper's tables of a task. Raises DataError for a metric that it does not have."""
    if metric not in PUBLISHED:
        raise DataError(
            f"the paper has no numbers beside {metric}",
            f"its tables are of {' and '.join(PUBLISHED)}; `mue plot tradeoff` draws any metric",
        )
    return PUBLISHED[metric]


def is_paper_data(metric: str, dataset: str) -> bool:
    """Return whether scores may stand beside the published ones as they are."""
    return metric in PUBLISHED and PUBLISHED[metric].dataset == dataset


def source(number: int) -> str:
    """Return where the numbers of a table are from."""
    return f"MuE, CVPR 2023, Table {number}"
