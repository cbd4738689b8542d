"""Stored thresholds, the exit card: what calibration chose, what it promises and on what grounds,
and the conditions under which it holds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

from mue_cli.calibration.certificate import Certificate
from mue_cli.calibration.goal import By
from mue_cli.calibration.precision import Precision, PrecisionChoice
from mue_cli.calibration.settings import Point
from mue_cli.errors import RecipeError, one_line
from mue_cli.exits.catalogue import CATALOGUE, MUE, MethodSpec
from mue_cli.experiment.run_folder import Run, append_line, calibrate_command
from mue_cli.files import staged
from mue_cli.recipe.recipe import SkippedLayers, read_yaml, to_yaml
from mue_cli.schema.json_files import read_json_lines
from mue_cli.schema.schema import Count, Fraction, Natural, build, show

STREAMS = ("image", "text", "joint", "decoder")

COSTS: Mapping[By, str] = {"expected": "expected", "flops": "flops", "latency": "measured"}
"""What a record calls a reduction."""


@dataclass(frozen=True)
class Conditions:
    """What thresholds depend on besides the weights' training.

    decompose: image and text apart. decay: Eq. 11's settings, empty where nothing decays.
    skipped_layers: the policy. search: beam and longest caption, empty for closed sets: rules look
    at all hypotheses together, and Eq. 11 at the longest caption. precision. weights: as
    `--weights` named them, None for the run's own. fingerprint: of the weights, and of the method's
    own exit head: weights trained anew are others under the same name.
    """

    decompose: bool = True
    decay: Mapping[str, float] = field(default_factory=dict)
    skipped_layers: SkippedLayers = "project"
    search: Mapping[str, float] = field(default_factory=dict)
    precision: Precision = "float32"
    weights: str | None = None
    fingerprint: str = ""

    def differences(self, other: "Conditions") -> Iterator[tuple[str, str]]:
        """Yield what differs from other conditions, field by field, in words: ours and theirs."""
        for item in fields(self):
            ours, theirs = getattr(self, item.name), getattr(other, item.name)
            if ours != theirs:
                yield _in_words(item.name, ours), _in_words(item.name, theirs)


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

    def beside(self, costs: Mapping[str, float], score: float, full_score: float) -> str:
        """The promise beside what an evaluation on other samples showed."""
        name = COSTS[self.by]
        saved = f"{self.achieved:.1%}{self._interval('reduction', 100)}"
        promised = f"promised on {self.split}: {name} reduction {saved}"
        here = f"here: {costs[name]:.1%}" if name in costs else "here: not measured"
        if self.full_score > 0 and full_score > 0:
            promised += f", {self.metric} {self.score / self.full_score:.1%} of full"
            here += f", {score / full_score:.1%} of full"
        return f"{promised}; {here}"

    def check(self, now: Conditions, run: Run) -> None:
        """Raise RecipeError when the thresholds were searched under other conditions."""
        conditions = self.conditions
        if self.decay and now.decay == self.decay:
            conditions = replace(conditions, decay=self.decay)
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


def promise_of(run: Run, method: str, thresholds: object) -> Thresholds | None:
    """Return the last that was stored with exactly these thresholds, None without one."""
    same = (each for each in earlier(run) if each.method == method)
    return next(
        (each for each in reversed(list(same)) if dict(each.thresholds) == thresholds), None
    )


def _in_words(name: str, value: object) -> str:
    match name, value:
        case "decompose", _:
            return "image and text apart" if value else "image and text in one stream"
        case "fingerprint", _:
            return f"the weights {value}" if value else "weights of which nothing was kept"
        case "weights", _:
            return f"the weights {value}" if value else "the run's own weights"
        case _, Mapping():
            listed = ", ".join(f"{key} {number:g}" for key, number in value.items())
            return listed or ("no decay" if name == "decay" else "no search")
        case _:
            return f"{name} {value}"
