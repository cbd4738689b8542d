"""Write docs/study.md's tables and figures from the records in docs/study/.

    python docs/write_study.py                              # from the records that are here
    python docs/write_study.py --take runs/flickr8k-caption  # take a study's records over first

A study's records are small JSON files: docs/study/<recipe>/ is a run folder with nothing else in
it, so `mue table 1 --run docs/study/<recipe>` and `mue plot tradeoff --run docs/study/<recipe>`
read it too. Only what stands between the marks of docs/study.md is replaced.
"""

import argparse
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from mue_cli.experiment.run_folder import Run
from mue_cli.reports.curves import drawable
from mue_cli.reports.entries import Entry, row_title
from mue_cli.reports.figures.reductions import reductions
from mue_cli.reports.figures.tradeoff import tradeoff
from mue_cli.reports.paper_tables import PAPER_TABLES
from mue_cli.reports.published import published
from mue_cli.reports.tables import Column, Table, to_markdown
from mue_cli.study import entries
from mue_cli.study.file import kept
from mue_cli.study.parts import SPLIT

DOCS = Path(__file__).resolve().parent
MARKED = re.compile(r"(<!-- (\w+) ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SMALL = ("study.yaml", "finished.json", "records.jsonl")


def take(run: Path, docs: Path) -> Path:
    """Copy the small files of a run's study to docs/study/<run>, in place of older ones."""
    target = docs / "study" / run.name
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted((run / "study").rglob("*")):
        if path.name in SMALL:
            copy = target / path.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8")
            copy.write_text(_portable(text) if path.suffix == ".jsonl" else text, encoding="utf-8")
    return target


def _portable(lines: str) -> str:
    """Return records without the paths of the machine that they come from."""
    found = [json.loads(line) for line in lines.splitlines()]
    for record in found:
        record["left_out"] = dict.fromkeys(record.get("left_out", {}), "not to be had there")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found)


def write(docs: Path) -> None:
    """Fill the marked parts of docs/study.md, and draw its figures."""
    page = docs / "study.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(MARKED.sub(lambda mark: _filled(mark, docs), text), encoding="utf-8")


def _filled(mark: re.Match[str], docs: Path) -> str:
    start, part, name, end = mark.groups()
    run = Run(docs / "study" / name)
    if not run.study.is_dir():
        return f"{start}Not measured yet: `mue study {name}`.\n{end}"
    return f"{start}{PARTS[part](entries(run, SPLIT), run)}{end}"


def table_of(number: int) -> Callable[[Sequence[Entry], Run], str]:
    """Return the function that writes a table of the paper."""
    return lambda found, run: to_markdown(PAPER_TABLES[number](found))


def figures(found: Sequence[Entry], run: Run) -> str:
    """Draw the trade-off and the reductions beside the records."""
    place = run.folder.relative_to(run.folder.parent.parent)
    for draw, name in ((tradeoff, "tradeoff"), (reductions, "reductions")):
        draw(found, run.folder / name)
    metric = found[0].record.metric
    return (
        f"![{metric} against expected time reduction]({place}/tradeoff.png)\n\n"
        f"![layers, FLOPs and time saved by every method]({place}/reductions.png)\n"
    )


def claims(found: Sequence[Entry], run: Run) -> str:
    """Set every row's share of the full score beside the paper's, with the spread of the seeds and
    whether it differs from MuE's by more than that.
    """
    columns = (
        Column("row"),
        Column("of full", ".1%"),
        Column("lowest", ".1%"),
        Column("highest", ".1%"),
        Column("expected", ".1%"),
        Column("paper: of full", ".1%"),
        Column("paper: expected", ".1%"),
        Column("against MuE"),
    )
    return to_markdown(Table(columns, tuple(_claim_rows(drawable(found)))))


def _claim_rows(found: Sequence[Entry]) -> Iterator[tuple[str | float | None, ...]]:
    paper = published(found[0].record.metric)
    printed = {row.row: row for row in paper.table_1}
    chosen = [entry for entry in found if not entry.swept]
    mue = [_share(entry) for entry in chosen if entry.row == "mue"]
    for row in dict.fromkeys(entry.row for entry in chosen):
        mine = [entry for entry in chosen if entry.row == row]
        shares = [_share(entry) for entry in mine]
        line = printed.get(row)
        yield (
            row_title(row),
            fmean(shares),
            min(shares),
            max(shares),
            fmean(entry.record.costs["expected"] for entry in mine),
            line.scores[paper.judged_by] / paper.full_score if line else None,
            line.reduction if line else None,
            _against(shares, mue) if row != "mue" else None,
        )


def _share(entry: Entry) -> float:
    return entry.record.score / entry.full_score


def _against(shares: Sequence[float], mue: Sequence[float]) -> str | None:
    """Say whether all seeds lie on one side of MuE's; nothing before MuE was evaluated."""
    if not mue:
        return None
    if min(shares) > max(mue):
        return "higher in every seed"
    return "lower in every seed" if max(shares) < min(mue) else "within the seeds"


def status(found: Sequence[Entry], run: Run) -> str:
    """Say what was evaluated, on what, and which rows of the study were not."""
    study, record = kept(run), found[0].record
    assert study is not None
    rows: dict[str, list[int]] = {}
    for entry in found:
        if not entry.swept:
            rows.setdefault(entry.row, []).append(entry.seed)
    done = "; ".join(f"{row} (seeds {', '.join(map(str, rows[row]))})" for row in rows)
    lacking = [row for row in study.rows if row not in rows]
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    where = f"{record.num_samples:,} samples of {record.dataset} {record.split}"
    device, precision = (record.settings.get(name) for name in ("device", "precision"))
    lines = [f"- Evaluated on {where}: {done}.", f"- {device}, {precision}; {versions}."]
    if lacking or any(len(seeds) < len(study.seeds) for seeds in rows.values()):
        missing = f"; no row yet: {', '.join(lacking)}" if lacking else ""
        lines.append(
            f"- **Unfinished**: the study has {len(study.rows)} rows of {len(study.seeds)} seeds"
            f"{missing}. `mue study {study.name}` goes on."
        )
    return "\n".join(lines) + "\n"


PARTS = {
    "status": status,
    "table1": table_of(1),
    "table3": table_of(3),
    "table4": table_of(4),
    "figures": figures,
    "claims": claims,
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--take", type=Path, action="append", default=[], metavar="RUN")
    parser.add_argument("--docs", type=Path, default=DOCS, help="another docs folder, for tests")
    options = parser.parse_args()
    for run in options.take:
        print(take(run, options.docs))
    write(options.docs)


if __name__ == "__main__":
    main()
