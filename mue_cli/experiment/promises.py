"""Promises that were put to the test: calibrations beside evaluations of their thresholds."""

from dataclasses import replace

from mue_cli.errors import MissingStepError
from mue_cli.experiment.conditions import Conditions
from mue_cli.experiment.run_folder import Run, records
from mue_cli.experiment.thresholds import COSTS, Thresholds, earlier
from mue_cli.reports.inputs import EXIT_HEAD, WEIGHTS
from mue_cli.reports.promises import Promise, Promises
from mue_cli.reports.record import Record

_STATED = (
    "decompose",
    "skipped_layers",
    "search",
    "image_size",
    "prompt",
    "max_source_tokens",
    "precision",
)


def promises(run: Run, split: str) -> Promises:
    """Return all calibrations of a run whose thresholds were evaluated on a split.

    Raises MissingStepError without one.
    """
    run.need(run.promises, "calibrate")
    evaluated = [each for each in records(run) if each.split == split and each.point is None]
    full = {each.id: each for each in evaluated if each.method == "full"}
    tested = {
        _key(card): (card, pair) for card in earlier(run) if (pair := _pair(card, evaluated, full))
    }
    if not tested:
        raise MissingStepError(
            f"no thresholds that `mue calibrate` chose were evaluated on {split}, under the "
            "conditions they were chosen for",
            f"run: {run.command('evaluate')}",
        )
    drawn = [_promise(card, *pair) for card, pair in tested.values()]
    _, (first, _) = next(iter(tested.values()))
    return Promises(drawn, first.metric, split, f"{first.method}, {first.dataset}")


def _pair(
    card: Thresholds, evaluated: list[Record], full: dict[str, Record]
) -> tuple[Record, Record] | None:
    """Return the last evaluation of a card's thresholds, one of other prepared data only without
    any of its own, and the full model's beside it.
    """
    those = [
        record
        for record in evaluated
        if COSTS[card.by] in record.costs and record.id in full and is_of(record, card)
    ]
    those.sort(key=lambda record: not card.is_on_other_data(record))
    return (those[-1], full[those[-1].id]) if those else None


def promise_of(run: Run, record: Record) -> Thresholds | None:
    """Return the last that was promised of what was evaluated, None without one."""
    return next((card for card in reversed(earlier(run)) if is_of(record, card)), None)


def is_of(record: Record, card: Thresholds) -> bool:
    """Return whether a record is of a card's thresholds, under the conditions it holds under."""
    same = record.settings.get("thresholds") == dict(card.thresholds)
    holds = card.holds_under
    return (
        same
        and record.method == card.method
        and not any(holds.differences(conditions_in(record, holds)))
    )


def conditions_in(record: Record, otherwise: Conditions) -> Conditions:
    """Return the conditions of a record; otherwise: for those that it does not state."""
    settings = record.settings
    stated = {name: settings[name] for name in _STATED if name in settings}
    decay = {name: settings.get(name, value) for name, value in otherwise.decay.items()}
    if WEIGHTS in settings:
        marks = (settings[WEIGHTS], settings.get(EXIT_HEAD))
        stated["fingerprint"] = "-".join(str(each) for each in marks if each)
    known = {**stated, "decay": decay, "weights": settings.get("weights")}
    return replace(otherwise, **known)  # type: ignore[arg-type]


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
        card.is_on_other_data(record),
    )


def _key(card: Thresholds) -> tuple[object, ...]:
    wanted = (card.method, card.by, card.target, card.max_drop)
    return (*wanted, *card.thresholds.items(), repr(card.holds_under))
