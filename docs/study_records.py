"""Take a run's small files over into docs/study/, for docs/write_study.py."""

import json
import shutil
from pathlib import Path

from mue_cli.errors import MissingStepError

RECORDS = ("study.yaml", "finished.json", "records.jsonl")
MEASURED = ("promises.jsonl", "predictions.json", "depth.npz", "saturation.npz")
NUM_EXAMPLES = 10


def take(run: Path, docs: Path) -> Path:
    """Copy a run's small files to docs/study/<run>: its study's records where it has a study, else
    its own. The folder that is there goes when the new one is whole. Raises MissingStepError for a
    run without any.
    """
    run = run.resolve()
    source = run / "study" if (run / "study").is_dir() else run
    records = [each for each in source.rglob("*") if each.name in RECORDS]
    found = sorted([*records, *(run / name for name in MEASURED if (run / name).exists())])
    if not found:
        raise MissingStepError(f"nothing to take from `{run}`", "mue evaluate writes its records")
    target = docs / "study" / run.name
    new, old = (target.with_name(f".{run.name}.{word}") for word in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    for path in found:
        _copy(path, new / path.relative_to(run))
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def _copy(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "records.jsonl":
        copy.write_text(_portable(path.read_text(encoding="utf-8")), encoding="utf-8")
    elif path.name == "predictions.json":
        first = json.loads(path.read_text(encoding="utf-8"))[:NUM_EXAMPLES]
        copy.write_text(json.dumps(first, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        shutil.copyfile(path, copy)


def _portable(lines: str) -> str:
    """Return records without the paths of the machine that they come from."""
    found = [json.loads(line) for line in lines.splitlines()]
    for record in found:
        record["left_out"] = dict.fromkeys(record.get("left_out", {}), "not to be had there")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found)
