"""What a study still takes, row by row and seed by seed.

What is done is known by data: a folder by its training and its weights' fingerprint, a row by its
settings, those weights and the id of its evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from mue_cli.errors import RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.schema.schema import show
from mue_cli.study import steps
from mue_cli.study.entries import newest_evaluation, row_records
from mue_cli.study.file import journal, trained_run
from mue_cli.study.fingerprint import fingerprint
from mue_cli.study.journal import Journal, first_change
from mue_cli.study.parts import Study
from mue_cli.study.settings import as_json, row_settings, second_stage, training_of
from mue_cli.study.steps import Step, Words


@dataclass(frozen=True)
class Task:
    """A step, and what the seed's journal is told of it. key: in the journal. begun: what stands
    there when it starts. finished: gives what stands there when it has ended well.
    """

    step: Step
    key: str
    begun: object
    finished: Callable[[], object]

    @property
    def words(self) -> Words:
        return self.step.words


@dataclass(frozen=True)
class RowPlan:
    """What one row of one seed still takes: nothing when it was done before."""

    name: str
    seed: int
    tasks: tuple[Task, ...]
    journal: Journal


def plan(study: Study, run: Run, seeds: Sequence[int], rows: Sequence[str]) -> list[RowPlan]:
    """Return what is to be done, in order; a folder that several rows share is trained with the
    first.

    Raises RecipeError for a folder that was trained otherwise than the study says now.
    """
    return [row for seed in seeds for row in _SeedPlan(study, run, seed).row_plans(rows)]


class _SeedPlan:
    """The plan of one seed, which knows the folders that will be trained by then."""

    def __init__(self, study: Study, run: Run, seed: int) -> None:
        self._study, self._run, self._seed = study, run, seed
        self._journal = journal(run, seed)
        self._notes = self._journal.notes()
        self._planned: set[str] = set()
        self._weights = cache(lambda folder: fingerprint(self._at(folder).checkpoint))
        self._training = cache(partial(training_of, study))
        self._settings = cache(partial(row_settings, study))

    def row_plans(self, rows: Sequence[str]) -> list[RowPlan]:
        """Return the plan of every row. Training a folder anew removes its rows' records."""
        done = {row for row in rows if self._is_done(row)}
        anew = {folder for folder in map(self._folder, set(rows) - done) if self._is_stale(folder)}
        return [
            RowPlan(
                row,
                self._seed,
                () if row in done and self._folder(row) not in anew else tuple(self._tasks(row)),
                self._journal,
            )
            for row in rows
        ]

    def _folder(self, row: str) -> str:
        return self._study.rows[row].folder

    def _at(self, folder: str) -> Run:
        return trained_run(self._run, self._seed, folder)

    def _note(self, key: str) -> Mapping[str, object]:
        note = self._notes.get(key)
        return note if isinstance(note, dict) else {}

    @staticmethod
    def _was(noted: object, now: Mapping[str, object]) -> bool:
        return isinstance(noted, dict) and first_change(noted, now) is None

    # Folders.

    def _is_stale(self, name: str) -> bool:
        """Whether a folder is to be trained."""
        finished = self._note(f"folder {name}").get("finished")
        return not (finished and self._at(name).checkpoint.exists())

    def _training_tasks(self, name: str) -> list[Task]:
        """Return the training of a folder, that of its start first; nothing for what is done."""
        self._check_same(name)
        if name in self._planned or not self._is_stale(name):
            return []
        self._planned.add(name)
        start = self._study.folders[name].start
        begins = self._at(start) if start else None
        step = steps.training(self._study, self._at(name), self._seed, name, begins)
        about = {"training": self._training(name)}
        task = Task(step, f"folder {name}", about, lambda: {**about, "finished": True})
        return [*(self._training_tasks(start) if start else []), task]

    def _check_same(self, name: str) -> None:
        """Raise RecipeError when a folder holds a training that is not the study's any more."""
        here, noted = self._at(name), self._note(f"folder {name}").get("training")
        kept = (here.checkpoint, here.last_state, here.records)
        if not isinstance(noted, dict) or not any(path.exists() for path in kept):
            return
        changed = first_change(noted, self._training(name))
        if changed is not None:
            raise RecipeError(
                f"`{here.folder}` was trained with {changed.key} {show(changed.before)}, now it is "
                f"{show(changed.now)}",
                "remove that folder to train it anew, or name another with --run",
            )

    # Rows.

    def _is_done(self, name: str) -> bool:
        """Whether a row was evaluated as it is now, with the weights that are there now."""
        folder = self._folder(name)
        self._check_same(folder)
        note = self._note(f"row {name}")
        if self._is_stale(folder) or not self._was(note.get("settings"), self._settings(name)):
            return False
        evaluated = row_records(self._study, self._run, self._seed, name)
        return bool(evaluated) and note.get("weights") == self._weights(folder)

    def _tasks(self, name: str) -> list[Task]:
        """Return the training of a row's folder and the row's own steps, without trainings that
        are done.
        """
        row = self._study.rows[name]
        tasks = self._training_tasks(row.folder)
        here = self._at(row.folder)
        if row.spec.is_trained_alone and not self._has_heads(name):
            tasks.append(self._heads_task(name))
        own = [steps.calibration(self._study, here, name)] if row.spec.is_calibrated else []
        own.append(steps.evaluation(self._study, here, name))
        return tasks + [self._row_task(name, step, is_last=step is own[-1]) for step in own]

    def _row_task(self, name: str, step: Step, is_last: bool) -> Task:
        """Return a row's own step; the last notes the weights and the id of the evaluation."""
        here, about = self._at(self._folder(name)), {"settings": self._settings(name)}

        def finished() -> object:
            if not is_last:
                return about
            weights, evaluated = fingerprint(here.checkpoint), newest_evaluation(here, name)
            return {**about, "weights": weights, "evaluated": evaluated}

        return Task(step, f"row {name}", about, finished)

    # Heads that are trained afterwards, on a folder's weights.

    def _heads_key(self, name: str) -> str:
        return f"heads {self._study.rows[name].method} of {self._folder(name)}"

    def _has_heads(self, name: str) -> bool:
        """Whether the heads were trained to the end beside this very backbone."""
        row = self._study.rows[name]
        if row.folder in self._planned or not self._at(row.folder).exit_head(row.method).exists():
            return False
        return self._was(self._note(self._heads_key(name)), self._heads(name))

    def _heads(self, name: str) -> dict[str, object]:
        here = self._at(self._folder(name))
        about = {
            "training": second_stage(self._study, name),
            "weights": fingerprint(here.checkpoint),
        }
        return as_json(about)

    def _heads_task(self, name: str) -> Task:
        row = self._study.rows[name]
        here = self._at(row.folder)
        # A training of the folder removes the heads that there are.
        force = row.folder not in self._planned and here.exit_head(row.method).exists()
        step = steps.heads(self._study, here, self._seed, name, force)
        return Task(step, self._heads_key(name), {}, lambda: self._heads(name))
