"""One method on one split: predictions, scores, costs, and the record that the run keeps of them.

Imported by commands inside their functions only: it brings torch along.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from mue_cli import __version__
from mue_cli.commands.display import progress, say
from mue_cli.commands.workbench import Workbench
from mue_cli.data.store.manifest import library_versions
from mue_cli.evaluation.oracle import find_oracle
from mue_cli.evaluation.predict import (
    Prediction,
    Scores,
    Subject,
    costs,
    predict,
    time_against_full,
)
from mue_cli.exits.methods import Method
from mue_cli.experiment import build
from mue_cli.reports.record import Record, append_record

Score = Callable[[list[Prediction]], Scores]


@dataclass(frozen=True)
class Assessment:
    """What all evaluations of one command share. id: of its records. row: of a study, for the
    method's own.
    """

    workbench: Workbench
    subject: Subject
    split: str
    id: str
    method: str
    row: str | None = None

    def record(
        self, name: str, thresholds: Mapping[str, float], score: Score, point: float | None = None
    ) -> tuple[Record, list[Prediction]]:
        """Run a method, score it, time it against `full`, and add the record to the run.

        point: number of a point of the method's curve, which is not timed; None for a setting of
        its own.
        """
        recipe, workbench = self.workbench.recipe, self.workbench
        method = workbench.method(name, thresholds)
        predictions = self._predict(method)
        scores = score(predictions)
        for note in scores.notes if point is None else ():
            say(f"note: {note}")
        spent = costs(
            self.subject,
            method,
            [prediction.trace for prediction in predictions],
            recipe.data.image_size,
        )
        record = Record(
            id=self.id,
            row=self.row if name == self.method else None,
            point=point,
            recipe=recipe.name,
            task=recipe.task,
            dataset=workbench.prepared.manifest.name,
            split=self.split,
            method=name,
            seed=recipe.seed,
            num_samples=len(predictions),
            metric=workbench.task.metric,
            scores=scores.values,
            costs={**spent, **(self._measure(method) if point is None else {})},
            settings=self._settings(method, thresholds),
            left_out=scores.left_out,
            versions={"mue": __version__, **library_versions()},
            confidence={workbench.task.metric: scores.interval} if scores.interval else {},
        )
        append_record(workbench.run.records, record)
        return record, predictions

    def _predict(self, method: Method) -> list[Prediction]:
        batches = self.workbench.split(self.split, self.workbench.recipe.evaluation.samples)
        total = len(batches.examples)
        with progress(f"evaluate {method.name}") as report:
            if method.name == "oracle":
                return batches.in_order(
                    find_oracle(
                        self.subject, method.decompose, batches, lambda done, _: report(done, total)
                    )
                )
            return batches.in_order(
                predict(self.subject, method, batches, progress=lambda done, _: report(done, total))
            )

    def _measure(self, method: Method) -> dict[str, float]:
        """Time the method against `full` one sample at a time, turn by turn; nothing where there is
        nothing to time.
        """
        samples = self.workbench.recipe.evaluation.timed_samples
        if method.name in ("full", "oracle") or samples == 0:
            return {}
        with progress("time against full") as report:
            pair = time_against_full(
                self.subject,
                method,
                list(self.workbench.split(self.split, samples, batch_size=1)),
                progress=report,
            )
        return {
            "measured": pair.reduction,
            "latency_ms": pair.a.median_ms,
            "full_latency_ms": pair.b.median_ms,
        }

    def _settings(self, method: Method, thresholds: Mapping[str, float]) -> dict[str, object]:
        """Return what a reader of the record needs to know about the method, as JSON would give it
        back.
        """
        recipe, workbench = self.workbench.recipe, self.workbench
        settings: dict[str, object] = {
            "decompose": recipe.model.decompose,
            "device": str(workbench.device),
        }
        settings["precision"] = recipe.inference.precision
        if workbench.run.weights:
            settings["weights"] = workbench.run.weights
        if not workbench.task.answers:
            settings["search"] = asdict(recipe.search)
        if thresholds:
            settings["thresholds"] = dict(thresholds)
            if not workbench.task.answers:
                settings["skipped_layers"] = method.skipped_layers
            settings |= build.decay_settings(recipe, method.name)
        return settings
