"""The exit card, stored: what calibration chose, what it promises, on what grounds, and where."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from mue_cli.calibration.certificate import Certificate
from mue_cli.calibration.goal import By
from mue_cli.calibration.precision import PrecisionChoice
from mue_cli.calibration.settings import Point
from mue_cli.errors import RecipeError, one_line
from mue_cli.exits.catalogue import CATALOGUE, MUE, MethodSpec
from mue_cli.experiment.conditions import Conditions
from mue_cli.experiment.run_folder import Run, append_line, calibrate_command
from mue_cli.files import staged
from mue_cli.recipe.recipe import read_yaml, to_yaml
from mue_cli.reports.inputs import differs
from mue_cli.reports.record import Record
from mue_cli.schema.json_files import read_json_lines
from mue_cli.schema.schema import Count, Fraction, Natural, build, show

STREAMS = ("image", "text", "joint", "decoder")

COSTS: Mapping[By, str] = {"expected": "expected", "flops": "flops", "latency": "measured"}
"""What a record calls a reduction."""


@dataclass(frozen=True)
class Thresholds:
    """A method's thresholds by stream (absent: never), and what they reached where they were
    searched.

    target, achieved: reduction that was wanted (None: only a drop was bounded) and reached, counted
        `by` Eq. 14, FLOPs or milliseconds predicted from measured parts; measured: then timed.
    score, full_score: of these thresholds and of the full model, on the same samples of `split`.
    max_drop: largest relative fall of the score, or loss of the certificate. met: whether all that
        was wanted is reached. intervals: 95 %, of the reduction, the score and its difference to
        the full model's.
    certified_before: certificates made on the same samples before this one; each more weakens the
        promise.
    decay: Eq. 11's settings where they were searched too; they take the place of the recipe's.
    precision: chosen for `inference.precision: auto`; None where the recipe states one.
    data: fingerprint of the prepared data. searched_on, judged_on: of the samples, those that the
        search used and the fresh ones that judged it.
    """

    thresholds: Mapping[str, float]
    target: Fraction | None
    achieved: float
    metric: str
    score: float
    full_score: float
    split: str
    samples: Count
    method: str = MUE.name
    conditions: Conditions = field(default_factory=Conditions)
    by: By = "expected"
    max_drop: Fraction | None = None
    met: bool = True
    measured: float | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    certificate: Certificate | None = None
    certified_before: Natural = 0
    decay: Mapping[str, float] = field(default_factory=dict)
    precision: PrecisionChoice | None = None
    data: str = ""
    searched_on: Natural = 0
    judged_on: Natural = 0
    version: str = ""
    machine: str = ""

    def in_words(self) -> list[str]:
        """The thresholds, what is promised of them and on what grounds, a line each."""
        wanted = "" if self.target is None else f", wanted {self.target:.1%}"
        about = {"flops": "FLOPs", "latency": "latency"}.get(self.by, "expected")
        timed = "" if self.measured is None else f"; timed turn by turn: {self.measured:.1%}"
        share = f", {self.score / self.full_score:.1%}" if self.full_score else ""
        count = self.judged_on or self.samples
        fresh = f"{'fresh ' if self.judged_on else ''}sample{'' if count == 1 else 's'}"
        saved = f"{self.achieved:.1%}{self._interval('reduction', 100)}"
        return [
            self._streams_in_words(),
            f"{about} reduction {saved}{wanted}{timed}",
            f"{self.metric} {self.score:.1f}{self._interval('score')} "
            f"(full model {self.full_score:.1f}{share}) on {count} {fresh} of {self.split}",
            *self._difference(),
            *self._decay(),
            *([self.precision.in_words(self.metric)] if self.precision else []),
            *self._certified(),
            *([] if self.met else ["budget met: no; this is the best that was reached"]),
        ]

    def _streams_in_words(self) -> str:
        bounded = CATALOGUE[self.method].threshold == "score"
        return "  ".join(
            f"{name} {value:.4f}{' (never)' if bounded and value > 1 else ''}"
            for name, value in self.thresholds.items()
        )

    def _interval(self, name: str, scale: float = 1.0) -> str:
        if name not in self.intervals:
            return ""
        low, high = (scale * value for value in self.intervals[name])
        return f" [{low:.1f}, {high:.1f}]"

    def _difference(self) -> list[str]:
        if "difference" not in self.intervals:
            return []
        gap = self.score - self.full_score
        return [f"difference to the full model {gap:+.1f}{self._interval('difference')}"]

    def _decay(self) -> list[str]:
        if not self.decay:
            return []
        return [f"decay beta {self.decay['beta']:g}, tau {self.decay['tau']:g} (searched)"]

    def _certified(self) -> list[str]:
        """The certificate in words; that it was repeated on the same samples is said."""
        if self.certificate is None:
            return []
        lines = list(self.certificate.in_words())
        if self.certified_before:
            count = self.certified_before
            lines.append(
                f"these samples were used for {count} certificate{'s' * (count > 1)} before: each "
                "more weakens the promise, so take others for one that counts"
            )
        return lines

    def is_on_other_data(self, record: Record) -> bool:
        """Whether an evaluation was of other prepared data, where both are known."""
        return differs({"data": self.data or None}, record.settings, "data")

    def beside(self, record: Record, full_score: float) -> str:
        """The promise beside what an evaluation on other samples showed."""
        name, costs, score = COSTS[self.by], record.costs, record.score
        saved = f"{self.achieved:.1%}{self._interval('reduction', 100)}"
        promised = f"promised on {self.split}: {name} reduction {saved}"
        where = "here, on other prepared data" if self.is_on_other_data(record) else "here"
        here = f"{where}: {costs[name]:.1%}" if name in costs else f"{where}: not measured"
        if self.full_score > 0 and full_score > 0:
            promised += f", {self.metric} {self.score / self.full_score:.1%} of full"
            here += f", {score / full_score:.1%} of full"
        return f"{promised}; {here}"

    @property
    def holds_under(self) -> Conditions:
        """The conditions with Eq. 11's settings that were chosen, where those were searched too."""
        return replace(self.conditions, decay=self.decay) if self.decay else self.conditions

    def check(self, now: Conditions, run: Run) -> None:
        """Raise RecipeError when the thresholds were searched under other conditions."""
        conditions = self.holds_under if now.decay == self.decay else self.conditions
        for searched, wanted in conditions.differences(now):
            path = run.of_method(run.thresholds, self.method)
            raise RecipeError(
                f"`{path}` was searched with {searched}, now it is {wanted}",
                f"run: {run.command(calibrate_command(self.method))}",
            )


def store(run: Run, thresholds: Thresholds, tried: Sequence[Point]) -> None:
    """Write the method's thresholds.yaml and the settings that the search tried, both or none, and
    add what was stored to promises.jsonl.
    """
    name = thresholds.method
    with staged() as stage:
        card, log = (stage(run.of_method(path, name)) for path in (run.thresholds, run.calibration))
        card.write_text(to_yaml(asdict(thresholds)), encoding="utf-8")
        lines = [json.dumps(asdict(point)) + "\n" for point in tried]
        log.write_text("".join(lines), encoding="utf-8")
    append_line(run.promises, asdict(thresholds))


def earlier(run: Run) -> list[Thresholds]:
    """Return all that was stored for the run, oldest first; nothing before the first. Raises
    DataError for a line edited into nonsense.
    """
    if not run.promises.exists():
        return []
    return read_json_lines(Thresholds, run.promises, "remove the file")


def read_thresholds(run: Run, method: str = MUE.name) -> Thresholds:
    """Return what `mue calibrate` chose.

    Raises MissingStepError before it was run, RecipeError for a file edited into nonsense.
    """
    command = calibrate_command(method)
    path = run.need(run.of_method(run.thresholds, method), command)
    hint = f"run: {run.command(command)}"
    stored = build(Thresholds, read_yaml(path), lambda key: f"`{path}`")
    if stored.method != method:
        message = f"`method` in `{path}` is {show(stored.method)}"
        raise RecipeError(f"{message}, expected {method}", hint)
    unknown = stored.thresholds.keys() - {*STREAMS}
    if unknown:
        message = f"unknown stream `{one_line(min(unknown), 60)}` in `{path}`"
        raise RecipeError(message, f"known streams: {', '.join(STREAMS)}")
    place = f"`thresholds.{{stream}}` in `{path}`"
    check_scores(CATALOGUE[method], stored.thresholds, place, hint)
    return stored


def check_scores(spec: MethodSpec, thresholds: Mapping[str, float], place: str, hint: str) -> None:
    """Raise RecipeError for a threshold that no exit score comes near, such as 95 for per cent.

    place: where it stands, with {stream} in it. hint: what to do.
    """
    for stream, value in thresholds.items():
        subject = place.replace("{stream}", stream)
        if spec.threshold == "score" and not -1.0 <= value <= 2.0:
            raise RecipeError(f"{subject} is {value:g}, expected a number, from -1 to 2", hint)
        if spec.threshold == "agreement" and not (value >= 1.0 and float(value).is_integer()):
            raise RecipeError(f"{subject} is {value:g}, expected a whole number, at least 1", hint)
