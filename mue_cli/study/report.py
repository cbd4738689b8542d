"""The report of a run or its study: all that was evaluated, gathered for one page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isclose
from typing import Any

from mue_cli.data.tasks import TASKS
from mue_cli.errors import DataError, MissingStepError, MueError
from mue_cli.exits.catalogue import FULL, names
from mue_cli.experiment.demo import NO_RESULT, QUICK
from mue_cli.experiment.run_folder import Run, read_traces, records
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.entries import Entry, check_inputs, row_title
from mue_cli.reports.exits import Exits
from mue_cli.reports.figures.canvas import svg_text
from mue_cli.reports.figures.exits import exits_figure
from mue_cli.reports.figures.reductions import reductions_figure
from mue_cli.reports.figures.saturation import saturation_figure
from mue_cli.reports.figures.tradeoff import tradeoff_figure
from mue_cli.reports.inputs import DATA_INPUTS, differing
from mue_cli.reports.paper_tables import models_table
from mue_cli.reports.published import PUBLISHED
from mue_cli.reports.record import Record
from mue_cli.reports.report_page import Drawing, Report, Sample
from mue_cli.reports.saturation import Saturation
from mue_cli.reports.tables import Column, Estimate, Table, compare
from mue_cli.reports.traces import EvaluationTraces
from mue_cli.schema.json_files import read_json
from mue_cli.study.entries import need
from mue_cli.study.file import kept
from mue_cli.study.notes import notes

SAMPLES = 10
"""Examples on the page."""


def report(run: Run, split: str) -> Report:
    """Return the report of a run, or of its study where it has one.

    Raises MissingStepError before the first evaluation. What else is missing is said on the page.
    """
    entries = need(run, split)
    check_inputs(entries, "report")
    missing = [note.text for note in notes(run, split)]
    evaluated = _traced(run, missing)
    return Report(
        title=f"{entries[0].record.recipe}: early exits",
        note=NO_RESULT if entries[0].record.recipe.endswith(QUICK) else "",
        facts=_facts(entries),
        tables=[("Results", _table(entries))],
        drawings=list(_drawings(run, entries, evaluated, missing)),
        promises=list(_promises(run, missing)),
        savings=list(_savings(entries)),
        samples=_samples(run, evaluated, missing),
        missing=missing,
    )


def _facts(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    record = entries[0].record
    chosen = [entry for entry in entries if not entry.swept]
    sizes = sorted({entry.record.num_samples for entry in chosen})
    seeds = sorted({entry.seed for entry in entries})
    facts = [
        ("data", f"{record.dataset} {record.split}"),
        ("samples", " to ".join(f"{size:,}" for size in (sizes[0], sizes[-1])[: len(sizes)])),
        ("seeds", ", ".join(map(str, seeds))),
    ]
    for name in ("device", "precision", "weights"):
        facts += [(name, str(record.settings[name]))] if record.settings.get(name) else []
    return facts + list(record.versions.items())


def _table(entries: Sequence[Entry]) -> Table:
    """Return the paper's Table 1 with our rows; of a metric that it does not have, ours alone."""
    if entries[0].record.metric not in PUBLISHED:
        return compare([entry.record for entry in entries if not entry.swept])
    table = models_table(entries)
    # The paper's other scores would make it wider than a page.
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not column.group or column.name in ("of full", "reduction")
    ]
    evaluated = [row for row in table.rows if row[1] is not None]
    shown = Table(
        tuple(table.columns[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in evaluated),
        tuple(sentence.replace("`", "") for sentence in table.caption),
    )
    return _with_interval(shown, entries[0].record.metric)


def _with_interval(table: Table, metric: str) -> Table:
    """Return a table with a metric's interval beside it; over seeds it has a deviation already."""
    place = [column.name for column in table.columns].index(metric) + 1
    cells = [row[place - 1] for row in table.rows]
    bounds = [cell.bounds if isinstance(cell, Estimate) else None for cell in cells]
    if not any(bounds):
        return table
    texts = ["-" if each is None else f"{each[0]:.1f} to {each[1]:.1f}" for each in bounds]
    return Table(
        (*table.columns[:place], Column(f"{metric}, 95 %"), *table.columns[place:]),
        tuple(
            (*row[:place], text, *row[place:]) for row, text in zip(table.rows, texts, strict=True)
        ),
        table.caption,
    )


def _drawings(
    run: Run,
    entries: Sequence[Entry],
    evaluated: tuple[Record, EvaluationTraces] | None,
    missing: list[str],
) -> Iterator[Drawing]:
    """Yield the figures that can be drawn, and say why others cannot."""
    wanted: list[tuple[str, str, Callable[[], Any]]] = [
        (
            "Score against reduction",
            f"Trade-off: {_in_words(entries)}",
            lambda: tradeoff_figure(entries),
        ),
        (
            "What layers, FLOPs and the clock say",
            "Three reductions of every method, as in the table",
            lambda: reductions_figure(entries),
        ),
        (
            "How alike neighbouring layers are",
            "Cosine similarity of every layer's output and input, by stream",
            lambda: saturation_figure(_saturation(run, entries[0].record)),
        ),
    ]
    if evaluated is not None:
        exits = exits_of(*evaluated)
        means = ", ".join(f"{name} {sum(of) / len(of):.2f}" for name, of in exits.encoder.items())
        text = f"Share that leaves after each layer; mean exit layers: {means}"
        wanted.append(("Where samples and words leave", text, lambda: exits_figure(exits)))
    for title, text, draw in wanted:
        try:
            yield Drawing(title, text, svg_text(draw()))
        except (MissingStepError, DataError) as error:
            missing.append(_in_a_line(title, error))


def _in_a_line(title: str, error: MueError) -> str:
    return f"{title}: {error.message}; {error.hint or ''}".rstrip("; ")


def _saturation(run: Run, record: Record) -> Saturation:
    """Return what was kept. Raises DataError where that is of other samples than a record."""
    kept = Saturation.load(run.saturation)
    for name in differing(kept.about, record.settings, DATA_INPUTS):
        raise DataError(
            f"`{run.saturation}` was measured with {name} {kept.about[name]}, the evaluation with "
            f"{name} {record.settings[name]}",
            f"run: {run.command('plot saturation')}",
        )
    return kept


def exits_of(record: Record, evaluated: EvaluationTraces) -> Exits:
    """Return where the samples and words of an evaluation left."""
    evaluated.check(record)
    traces = evaluated.traces
    return Exits(
        {name: [each.encoder_exits[name] for each in traces] for name in traces[0].encoder_exits},
        [each.decoder_exits[: each.num_words] for each in traces],
        *record.num_layers,
        f"{row_title(record.method)} on {record.dataset} {record.split}",
    )


def record_of(evaluated: EvaluationTraces, run: Run) -> Record:
    """Return the record of the evaluation that traces are of. Raises MissingStepError without
    one.
    """
    for record in records(run):
        about = (record.id, record.method, record.point)
        if about == (evaluated.evaluation, evaluated.method, None):
            return record
    raise MissingStepError(
        f"no record in `{run.records}` is of the evaluation {evaluated.evaluation}, which "
        f"{run.traces.name} is of",
        f"run: {run.command('evaluate')}",
    )


def _traced(run: Run, missing: list[str]) -> tuple[Record, EvaluationTraces] | None:
    """Return the last evaluation of the run itself, None where it has none: a study's are in
    folders of its own.
    """
    try:
        evaluated = read_traces(run)
        record = record_of(evaluated, run)
        evaluated.check(record)
        return record, evaluated
    except (MissingStepError, DataError) as error:
        hint = "a study's folders have reports of their own" if kept(run) else error.hint
        missing.append(f"Exits and examples: {error.message}; {hint}")
        return None


def _in_words(entries: Sequence[Entry]) -> str:
    """Return the calibrated settings as a sentence."""
    chosen = [entry for entry in entries if not entry.swept and entry.full_score > 0]
    return "; ".join(
        f"{row_title(entry.row)} keeps {entry.record.score / entry.full_score:.1%} at "
        f"{entry.record.costs['expected']:.1%}"
        for entry in chosen
    )


def _promises(run: Run, missing: list[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what was calibrated, method by method, and say what cannot be read."""
    for method in names(lambda spec: spec.is_calibrated):
        if not run.of_method(run.thresholds, method).exists():
            continue
        try:
            streams, *rest = read_thresholds(run, method).in_words()
        except MueError as error:
            missing.append(_in_a_line(f"Promises of {row_title(method)}", error))
        else:
            yield row_title(method), [f"thresholds: {streams}", *rest]


def _savings(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield how long a sample took with exits and without, where it was timed."""
    for entry in entries:
        costs = entry.record.costs
        if entry.row == FULL.name or entry.swept or "measured" not in costs:
            continue
        device = entry.record.settings.get("device", "")
        before, after = costs["full_latency_ms"], costs["latency_ms"]
        # Records kept the medians over all timings once, which the reduction is not made of.
        median = "" if isclose(1 - after / before, costs["measured"], abs_tol=1e-9) else " (median)"
        yield (
            f"{row_title(entry.row)}: {after:.0f} ms a sample{median} instead of "
            f"{before:.0f} ms on this {device}".rstrip()
            + f", {costs['measured']:.1%} less; of the layers {costs['expected']:.1%} less"
        )


def _samples(
    run: Run, evaluated: tuple[Record, EvaluationTraces] | None, missing: list[str]
) -> list[Sample]:
    """Return the first samples of the last evaluation."""
    if evaluated is None:
        return []
    record, traces = evaluated
    try:
        said = _predictions(run, record)
    except DataError as error:
        missing.append(_in_a_line("Examples", error))
        return []
    _, num_layers = record.num_layers
    said_as = TASKS[record.task].result if record.task in TASKS else record.task
    return [
        Sample(
            trace.sample_id,
            str(prediction.get(said_as, "")),
            prediction.get("full"),
            prediction.get("tokens", ()),
            trace.encoder_exits,
            trace.decoder_exits[: trace.num_words],
            num_layers,
        )
        for trace, prediction in list(zip(traces.traces, said, strict=True))[:SAMPLES]
    ]


def _predictions(run: Run, record: Record) -> Sequence[Mapping[str, Any]]:
    """Return the predictions of an evaluation. Raises DataError when those that are there are
    others, or not all.
    """
    hint = f"run: {run.command('evaluate')}"
    if not run.predictions.exists():
        raise DataError(f"`{run.predictions}` is absent", hint)
    said = read_json(list[dict[str, Any]], run.predictions, hint)
    if any(each.get("evaluation") != record.id for each in said):
        raise DataError(f"`{run.predictions}` is of another evaluation", hint)
    if len(said) != record.num_samples:
        raise DataError(
            f"{len(said)} predictions are there, of {samples_in_words([record.num_samples])}", hint
        )
    return said
