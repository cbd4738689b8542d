"""Promises that were put to the test: calibrations beside evaluations of their thresholds."""

from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run, records
from mue_cli.experiment.thresholds import COSTS, Thresholds, earlier
from mue_cli.reports.promises import Promise, Promises
from mue_cli.reports.record import Record


def promises(run: Run, split: str) -> Promises:
    """Return all calibrations of a run whose thresholds were evaluated on a split.

    Raises MissingStepError without one.
    """
    run.need(run.promises, "calibrate")
    evaluated = [each for each in records(run) if each.split == split and each.point is None]
    full = {each.id: each for each in evaluated if each.method == "full"}
    tested = {_key(card): pair for card in earlier(run) if (pair := _pair(card, evaluated, full))}
    if not tested:
        raise MissingStepError(
            f"no thresholds that `mue calibrate` chose were evaluated on {split}",
            f"run: {run.command('evaluate')}",
        )
    cards = {_key(card): card for card in earlier(run)}
    drawn = [_promise(cards[key], *pair) for key, pair in tested.items()]
    first = next(iter(tested.values()))[0]
    return Promises(drawn, first.metric, split, f"{first.method}, {first.dataset}")


def _pair(
    card: Thresholds, evaluated: list[Record], full: dict[str, Record]
) -> tuple[Record, Record] | None:
    """Return the last evaluation of a card's thresholds and the full model's beside it."""
    for record in reversed(evaluated):
        same = record.settings.get("thresholds") == dict(card.thresholds)
        known = COSTS[card.by] in record.costs and record.id in full
        if same and known and record.method == card.method:
            return record, full[record.id]
    return None


def _promise(card: Thresholds, record: Record, full: Record) -> Promise:
    metric, cost = record.metric, COSTS[card.by]
    whole = full.scores[metric]
    return Promise(
        card.target,
        card.achieved,
        card.intervals.get("reduction"),
        card.score / card.full_score if card.full_score else 0.0,
        record.costs[cost],
        record.scores[metric] / whole if whole else 0.0,
        card.certificate is not None and card.certificate.num_passed > 0,
    )


def _key(card: Thresholds) -> tuple[object, ...]:
    return card.method, card.by, card.target, card.max_drop, *card.thresholds.items()
