"""Writing the Arrow tables of a prepared folder's texts, by the datasets library."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datasets import Features, Value
from datasets.arrow_writer import ArrowWriter

from mue_cli.data.rows import CaptionRow, EntailmentRow, RowsBySplit
from mue_cli.data.store.tables import TABLE
from mue_cli.data.tasks import CAPTION, ENTAILMENT

ROWS_PER_BATCH = 100

_CAPTION_COLUMNS = {
    "image": Value("int64"),
    "image_id": Value("string"),
    "captions": [Value("string")],
}
_ENTAILMENT_COLUMNS = {
    "image": Value("int64"),
    **{name: Value("string") for name in ("image_id", "pair_id", "premise", "hypothesis", "label")},
}


def write_tables(
    folder: Path,
    captions: RowsBySplit[CaptionRow],
    entailment: RowsBySplit[EntailmentRow],
    index: Mapping[str, int],
) -> list[Path]:
    """Write a table for each task and split; return their paths. index: row of a picture by its
    key.
    """
    paths = []
    for split, rows in captions.items():
        paths.append(folder / CAPTION.name / split / TABLE)
        _write_table(paths[-1], _CAPTION_COLUMNS, (_caption_record(row, index) for row in rows))
    for split, pairs in entailment.items():
        paths.append(folder / ENTAILMENT.name / split / TABLE)
        _write_table(paths[-1], _ENTAILMENT_COLUMNS, (_pair_record(row, index) for row in pairs))
    return paths


def _write_table(
    path: Path, columns: Mapping[str, object], records: Iterable[dict[str, object]]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # there already after a run that was stopped
    with ArrowWriter(
        path=str(path), features=Features(dict(columns)), writer_batch_size=ROWS_PER_BATCH
    ) as writer:
        for record in records:
            writer.write(record)
        writer.finalize()


def _caption_record(row: CaptionRow, index: Mapping[str, int]) -> dict[str, object]:
    return {"image": index[row.key], "image_id": row.image_id, "captions": list(row.captions)}


def _pair_record(row: EntailmentRow, index: Mapping[str, int]) -> dict[str, object]:
    texts = {name: getattr(row, name) for name in _ENTAILMENT_COLUMNS if name != "image"}
    return {"image": index[row.key], **texts}
