"""Write docs/study.md's tables and figures from the records in docs/study/.

    python docs/write_study.py                              # from the records that are here
    python docs/write_study.py --take runs/flickr8k-caption  # take a study's records over first

docs/study/<name>/ is a run folder with nothing but small files in it, of a study or of one model:
`mue table 1`, `mue plot tradeoff`, `mue plot depth` and `mue plot calibration` read it too, as
--run docs/study/<name>. Only what stands between the marks of docs/study.md is replaced.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from study_records import take

from mue_cli.errors import MissingStepError
from mue_cli.exits.catalogue import FULL
from mue_cli.experiment.promises import promises
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.curves import drawable
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.entries import Entry, row_title
from mue_cli.reports.figures.depth_scores import depth_scores
from mue_cli.reports.figures.reductions import reductions
from mue_cli.reports.figures.saturation import saturation as draw_saturation
from mue_cli.reports.figures.tradeoff import tradeoff
from mue_cli.reports.paper_tables import PAPER_TABLES
from mue_cli.reports.published import published
from mue_cli.reports.record import SHUFFLED, Record
from mue_cli.reports.saturation import Saturation
from mue_cli.reports.table_forms import to_markdown
from mue_cli.reports.tables import Column, Table
from mue_cli.study import entries
from mue_cli.study.file import kept
from mue_cli.study.parts import SPLIT

DOCS = Path(__file__).resolve().parent
MARKED = re.compile(r"(<!-- (\w+) ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOT_YET = "Not measured yet"


def write(docs: Path) -> None:
    """Fill the marked parts of docs/study.md, and draw its figures."""
    page = docs / "study.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(MARKED.sub(lambda mark: _filled(mark, docs), text), encoding="utf-8")


def _filled(mark: re.Match[str], docs: Path) -> str:
    start, part, name, end = mark.groups()
    run = Run(docs / "study" / name)
    if not run.folder.is_dir():
        return f"{start}{NOT_YET}: `mue study {name}`.\n{end}"
    try:
        return f"{start}{PARTS[part](entries(run, SPLIT), run)}{end}"
    except MissingStepError as error:
        return f"{start}{NOT_YET}: {error.hint}.\n{end}"


def table_of(number: int) -> Callable[[Sequence[Entry], Run], str]:
    """Return the function that writes a table of the paper."""
    return lambda found, run: to_markdown(PAPER_TABLES[number](found))


def figures(found: Sequence[Entry], run: Run) -> str:
    """Draw the trade-off and the reductions beside the records."""
    place = _place(run)
    for draw, name in ((tradeoff, "tradeoff"), (reductions, "reductions")):
        draw(found, run.folder / name)
    metric = found[0].record.metric
    return (
        f"![{metric} against expected time reduction]({place}/tradeoff.png)\n\n"
        f"![layers, FLOPs and time saved by every method]({place}/reductions.png)\n"
    )


def depth(found: Sequence[Entry], run: Run) -> str:
    """Set the scores after each layer beside each other, and draw them."""
    measured = DepthScores.load(run.depth)
    depth_scores(measured, run.folder / "depth")
    deepest = max(len(scores) for scores in measured.scores.values())
    columns = (Column("read early"), *(Column(f"layer {n}") for n in range(1, deepest + 1)))
    rows = []
    for stream in measured.streams:
        cells = []
        for score, row in zip(measured.scores[stream], measured.differences[stream], strict=True):
            gap, low, high = row
            surely = "*" if high < 0.0 or low > 0.0 else ""
            cells.append(f"{score:.1f} ({gap:+.1f}{surely})" if any(row) else f"{score:.1f}")
        rows.append(("image and text" if stream == "encoder" else stream, *cells))
    return (
        f"{measured.metric} on {samples_in_words([measured.num_samples])}; in brackets the "
        "difference to the full model, with a star where its 95 % interval leaves out 0.\n\n"
        f"{to_markdown(Table(columns, tuple(rows)))}\n"
        f"![score read after each layer]({_place(run)}/depth.png)\n"
    )


def saturation(found: Sequence[Entry], run: Run) -> str:
    """Draw how alike neighbouring layers are, and say how far samples decide for themselves."""
    measured = Saturation.load(run.saturation)
    draw_saturation(measured, run.folder / "saturation")
    own = ", ".join(f"{name} {measured.own_share(name):.0%}" for name in measured.exit_scores)
    figure = f"![similarity of neighbouring layers]({_place(run)}/saturation.png)"
    return f"Own share: {own}.\n\n{figure}\n"


def control(found: Sequence[Entry], run: Run) -> str:
    """Set the scores beside those with every sample's picture replaced by another's."""
    name = SHUFFLED.format(found[0].record.metric)
    measured = [each for each in found if name in each.record.scores and not each.swept]
    if not measured:
        raise MissingStepError(
            "no control was run", "`mue evaluate --set evaluation.shuffled_pictures=true`"
        )
    metric = measured[0].record.metric
    columns = (
        Column("row"),
        Column("seed", "d"),
        Column(metric, ".1f"),
        Column("with shuffled pictures", ".1f"),
        Column("difference"),
    )
    rows = [
        (row_title(each.row), each.seed, each.record.score, each.record.scores[name], gap)
        for each in measured
        for gap in [_gap(each.record, name)]
    ]
    return to_markdown(Table(columns, tuple(rows)))


def _gap(record: Record, name: str) -> str:
    low, high = record.difference[name]
    return f"{record.scores[name] - record.score:+.1f} ({low:.1f} to {high:.1f})"


def targets(found: Sequence[Entry], run: Run) -> str:
    """Set what calibrations promised on val beside what was measured on test."""
    columns = (
        Column("wanted"),
        Column("promised", ".1%"),
        Column("95 %"),
        Column("measured", ".1%"),
        Column("score promised", ".1%"),
        Column("score measured", ".1%"),
    )
    rows = [
        (
            "a drop, with confidence" if each.target is None else f"{each.target:.0%}",
            each.reduction,
            each.interval and f"{each.interval[0]:.1%} to {each.interval[1]:.1%}",
            each.measured_reduction,
            each.score,
            each.measured_score,
        )
        for each in promises(run, SPLIT).promises
    ]
    rows.sort(key=lambda row: row[1])
    return to_markdown(Table(columns, tuple(rows)))


def examples(found: Sequence[Entry], run: Run) -> str:
    """Set the first captions at full depth and with exits beside each other."""
    if not run.predictions.exists():
        raise MissingStepError(f"no {run.predictions.name}", "`mue evaluate` writes them")
    predictions = json.loads(run.predictions.read_text(encoding="utf-8"))
    columns = (Column("photograph"), Column("every layer"), Column("with exits"))
    rows = [(str(each["image_id"]), each["full"], each["caption"]) for each in predictions]
    return to_markdown(Table(columns, tuple(rows)))


def curves(found: Sequence[Entry], run: Run) -> str:
    """Draw the methods of one model against each other, and list their curves."""
    tradeoff(found, run.folder / "tradeoff")
    columns = (
        Column("method"),
        Column("expected", ".1%"),
        Column("FLOPs", ".1%"),
        Column("of full", ".1%"),
        Column("95 %"),
    )
    rows = [
        (
            row_title(entry.row),
            entry.record.costs["expected"],
            entry.record.costs["flops"],
            _share(entry),
            _bounds(entry.record, entry.full_score),
        )
        for entry in sorted(found, key=lambda each: (each.row, each.record.costs["expected"]))
        if entry.row != FULL.name
    ]
    figure = f"![score against expected time reduction]({_place(run)}/tradeoff.png)"
    return f"{to_markdown(Table(columns, tuple(rows)))}\n{figure}\n"


def _bounds(record: Record, full_score: float) -> str | None:
    """Return the interval of a score as shares of the full model's: by its difference to it, which
    is paired, where that was measured; None of one picture.
    """
    own, paired = (kind.get(record.metric) for kind in (record.confidence, record.difference))
    shares = [1 + bound / full_score for bound in paired or ()] or [
        bound / full_score for bound in own or ()
    ]
    return " to ".join(f"{share:.1%}" for share in shares) or None


def _place(run: Run) -> str:
    """Return a folder as the page names it."""
    return run.folder.relative_to(run.folder.parent.parent).as_posix()


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
    where = f"{samples_in_words([record.num_samples])} of {record.dataset} {record.split}"
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
    "depth": depth,
    "saturation": saturation,
    "control": control,
    "targets": targets,
    "curves": curves,
    "examples": examples,
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
