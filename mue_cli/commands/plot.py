"""`mue plot`: the paper's figures from a run."""

from typing import TYPE_CHECKING

from mue_cli.commands.display import answer, answer_json
from mue_cli.commands.options import (
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    SplitOption,
    experiment,
)
from mue_cli.errors import MissingStepError

if TYPE_CHECKING:
    from pathlib import Path

    from mue_cli.experiment.run_folder import Run
    from mue_cli.reports.curves import Search
    from mue_cli.reports.entries import Entry
    from mue_cli.reports.record import Record
    from mue_cli.reports.traces import EvaluationTraces

SATURATION_EXAMPLES = """Examples

mue plot saturation

mue plot saturation --recipe shapes-entailment"""

TRADEOFF_EXAMPLES = """Examples

mue plot tradeoff

mue plot tradeoff --split val --run runs/longer"""

EXITS_EXAMPLES = """Examples

mue plot exits

mue plot exits --recipe shapes-entailment"""


def saturation(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Draw how similar each layer's output is to the layer before (Fig. 3 of the paper).

    Reads saturation.npz, or measures it with checkpoint.safetensors on val and writes it;
    thresholds.yaml is drawn in when it is there. Writes plots/saturation.png and
    plots/saturation.svg in the run folder.
    """
    here = experiment(recipe, overrides, run)
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.workbench import after_training
    from mue_cli.experiment.run_folder import read_thresholds
    from mue_cli.reports.figures.saturation import saturation as draw
    from mue_cli.reports.saturation import Saturation

    if not here.run.saturation.exists():
        workbench = after_training(here.recipe, here.run, device)
        workbench.similarities(workbench.trained_subject())
    profile = Saturation.load(here.run.saturation)
    thresholds = dict(read_thresholds(here.run).thresholds) if here.run.thresholds.exists() else {}
    if here.recipe.task == "caption":
        thresholds.pop(
            "decoder", None
        )  # in generation it decays from word to word (Eq. 11): no one line shows it
    show(draw(profile, here.run.plots / "saturation", thresholds), as_json)


def tradeoff(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    split: SplitOption = "test",
    as_json: JsonOption = False,
) -> None:
    """Draw the score against the expected time reduction (Fig. 1 and 4), every method's curve, the
    paper's published points beside ours.

    Reads the rows and seeds of the run's study (`mue study`), where it has one that was evaluated.
    Otherwise records.jsonl, and calibration.jsonl where no method was swept: the settings that were
    tried. Writes plots/tradeoff.png and plots/tradeoff.svg in the run folder.
    """
    here = experiment(recipe, overrides, run)
    entries, searches = _points(here.run, split)
    from mue_cli.reports.figures.tradeoff import tradeoff as draw

    show(draw(entries, here.run.plots / "tradeoff", searches), as_json)


def _points(run: "Run", split: str) -> "tuple[list[Entry], list[Search]]":
    """Return the entries of a run's study; before the first, or without one, the run's own, with
    what its calibration tried.
    """
    from mue_cli import study
    from mue_cli.study.file import kept

    has_study = kept(run) is not None
    try:
        found = study.need(run, split)
    except MissingStepError:
        if not (has_study and run.records.exists()):
            raise
        found, has_study = study.own_entries(run, split), False
    searches = [] if has_study or any(entry.swept for entry in found) else _searches(run)
    return found, searches


def exits(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw after which layers samples and words left in the last evaluation, and how a word's exit
    depends on its place in the caption.

    Reads traces.jsonl and records.jsonl. Writes plots/exits.png and plots/exits.svg in the run
    folder.
    """
    here = experiment(recipe, overrides, run)
    from mue_cli.experiment.run_folder import read_traces
    from mue_cli.reports.entries import METHOD_NAMES
    from mue_cli.reports.exits import Exits
    from mue_cli.reports.figures.exits import exits as draw

    evaluated = read_traces(here.run)
    record, traces = _record_of(evaluated, here.run), evaluated.traces
    found = Exits(
        {
            stream: [trace.encoder_exits[stream] for trace in traces]
            for stream in traces[0].encoder_exits
        },
        [trace.decoder_exits[: trace.num_words] for trace in traces],
        int(record.costs["num_encoder_layers"]),
        int(record.costs["num_decoder_layers"]),
        f"{METHOD_NAMES.get(record.method, record.method)} on {record.dataset} {record.split}",
    )
    show(draw(found, here.run.plots / "exits"), as_json)


def _record_of(found: "EvaluationTraces", run: "Run") -> "Record":
    """Return the record of the evaluation that the traces are of."""
    from mue_cli.experiment import run_folder as runs

    for record in runs.records(run):
        about = (record.id, record.method, record.point)
        if about == (found.evaluation, found.method, None):
            return record
    raise MissingStepError(
        f"no record in `{run.records}` is of the evaluation {found.evaluation}, which "
        f"{run.traces.name} is of",
        f"run: {run.command('evaluate')}",
    )


def _searches(run: "Run") -> "list[Search]":
    """Return what `mue calibrate` tried; nothing when it was not run, did not end, or had a full
    model that scored nothing.
    """
    from mue_cli.experiment.run_folder import read_thresholds, read_tried
    from mue_cli.reports.curves import Search

    if not (run.thresholds.exists() and run.calibration.exists()):
        return []
    found = read_thresholds(run)
    if found.full_score <= 0:
        return []
    return [
        Search(
            "mue",
            found.split,
            found.samples,
            found.full_score,
            [(point.reduction, point.score) for point in read_tried(run)],
        )
    ]


def show(paths: "tuple[Path, Path]", as_json: bool) -> None:
    """Print the paths of a figure's files."""
    if as_json:
        answer_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        answer(str(path))
