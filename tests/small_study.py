"""A small study and hand-made run folders: what its tests share."""

import dataclasses
from pathlib import Path

from mue_cli.experiment.run_folder import Run
from mue_cli.reports.record import Record, append_record
from mue_cli.study.file import trained_run

STUDY = """
name: little
recipe: shapes-caption
seeds: [0, 1]
folders:
  start: {settings: {training.steps: 6, training.layer_loss: last, model.decompose: false}}
  full: {start: start, settings: {training.steps: 4, model.decompose: false}}
  mue: {start: start, method: mue, settings: {training.steps: 4}}
rows:
  full: {folder: full, method: full}
  static: {folder: full, method: static, settings: {exits.joint: 4, exits.decoder: 4}}
  deebert: {folder: full, method: deebert, target_reduction: 0.15, second_stage: {training.steps: 3}}
  mue: {folder: mue, method: mue, target_reduction: 0.4, settings: {exits.tau: 2}}
  oracle: {folder: mue, method: oracle}
"""

COSTS = {
    "expected": 0.0,
    "flops": 0.0,
    "gflops_per_sample": 2.0,
    "joint_layers": 6.0,
    "decoder_layers": 6.0,
    "num_encoder_layers": 6.0,
    "num_decoder_layers": 6.0,
}
FULL = Record(
    id="00000000",
    recipe="shapes-caption",
    task="caption",
    dataset="shapes",
    split="test",
    method="full",
    seed=0,
    num_samples=400,
    metric="CIDEr",
    scores={"CIDEr": 120.0},
    costs=COSTS,
)


def write_study(folder: Path, text: str = STUDY) -> Path:
    """Write a study file and return its path."""
    path = folder / "little.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def record(
    method: str,
    score: float = 100.0,
    costs: dict[str, float] | None = None,
    split: str = "test",
    id: str = "00000000",  # noqa: A002 - the record's own field
    row: str | None = None,
    point: float | None = None,
    **settings: object,
) -> Record:
    """Return a record of a method, with the costs of the full 6+6 model unless others are given."""
    return dataclasses.replace(
        FULL,
        method=method,
        scores={"CIDEr": score},
        costs={**COSTS, **(costs or {})},
        split=split,
        id=id,
        row=row,
        point=point,
        settings=settings,
    )


def of_row(name: str, score: float = 100.0, method: str | None = None, **about: object) -> Record:
    """Return a record of a study's row, which is called like its method unless that is given."""
    return record(method or name, score, row=name, **about)  # type: ignore[arg-type]


def evaluated(run: Run, seed: int, folder: str, *records: Record) -> None:
    """Add records to a folder of a study."""
    for each in records:
        append_record(trained_run(run, seed, folder).records, each)
