"""`mue plot`: the paper's figures from a run."""

from typing import TYPE_CHECKING

from mue_cli.commands.display import answer, answer_json
from mue_cli.commands.options import DeviceOption, JsonOption, RecipeOption, RunOption, SetOption, SplitOption, experiment
from mue_cli.errors import MissingStepError

if TYPE_CHECKING:
    from pathlib import Path

    from mue_cli.reports.curves import Search
    from mue_cli.reports.record import Record
    from mue_cli.runs import Run

SATURATION_EXAMPLES = """Examples

mue plot saturation

mue plot saturation --recipe shapes-entailment"""

TRADEOFF_EXAMPLES = """Examples

mue plot tradeoff

mue plot tradeoff --split val --run runs/longer"""


def saturation(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Draw how similar each layer's output is to the layer before (Fig. 3 of the paper).

    Reads saturation.npz, or measures it with checkpoint.safetensors on val and writes it; thresholds.yaml is drawn in when it is there.
    Writes plots/saturation.png and plots/saturation.svg in the run folder.
    """
    here = experiment(recipe, overrides, run)
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.workbench import after_training
    from mue_cli.reports.figures.saturation import saturation as draw
    from mue_cli.reports.profile import SimilarityProfile
    from mue_cli.runs import read_thresholds

    if not here.run.saturation.exists():
        workbench = after_training(here.recipe, here.run, device)
        workbench.similarities(workbench.trained_subject())
    profile = SimilarityProfile.load(here.run.saturation)
    thresholds = dict(read_thresholds(here.run).thresholds) if here.run.thresholds.exists() else {}
    if here.recipe.task == "caption":
        thresholds.pop("decoder", None)  # in generation it decays from word to word (Eq. 11): no one line shows it
    _show(draw(profile, here.run.plots / "saturation", thresholds), as_json)


def tradeoff(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    split: SplitOption = "test",
    as_json: JsonOption = False,
) -> None:
    """Draw the score against the expected time reduction (Fig. 1 and 4), the paper's published points beside ours.

    Reads records.jsonl, and calibration.jsonl when it is there: the settings that were tried. Writes plots/tradeoff.png and
    plots/tradeoff.svg in the run folder.
    """
    from mue_cli import runs

    here = experiment(recipe, overrides, run)
    records = _newest([record for record in runs.records(here.run) if record.split == split])
    if not records:
        hint = f"run: {here.run.command('evaluate')} --split {split}"
        raise MissingStepError(f"no record of the split `{split}` in `{here.run.records}`", hint)
    from mue_cli.reports.figures.tradeoff import tradeoff as draw

    _show(draw(records, here.run.plots / "tradeoff", _searches(here.run)), as_json)


def _newest(records: "list[Record]") -> "list[Record]":
    """Keep the last record of each method and setting: an evaluation that was repeated is one point."""
    return list({(record.method, repr(record.settings)): record for record in records}.values())


def _searches(run: "Run") -> "list[Search]":
    """Return what `mue calibrate` tried; nothing when it was not run, did not end, or had a full model that scored nothing."""
    from mue_cli.reports.curves import Search
    from mue_cli.runs import read_thresholds, read_tried

    if not (run.thresholds.exists() and run.calibration.exists()):
        return []
    found = read_thresholds(run)
    if found.full_score <= 0:
        return []
    return [Search("mue", found.split, found.samples, found.full_score, [(point.reduction, point.score) for point in read_tried(run)])]


def _show(paths: "tuple[Path, Path]", as_json: bool) -> None:
    if as_json:
        answer_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        answer(str(path))
