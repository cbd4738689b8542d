"""The command lines that a study still takes, row by row and seed by seed."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import chain

from mue_cli.data.store.manifest import read_manifest
from mue_cli.errors import MissingStepError, RecipeError
from mue_cli.exits.catalogue import CALIBRATED, WITHOUT_CURVE
from mue_cli.experiment.run_folder import Run
from mue_cli.recipe.recipe import Recipe
from mue_cli.schema.schema import show
from mue_cli.study.entries import newest_evaluation, row_records
from mue_cli.study.file import journal, trained_run
from mue_cli.study.journal import Journal
from mue_cli.study.parts import SECOND_STAGE, SPLIT, Study, as_overrides

Words = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """words: of the command line, without the leading `mue`. key: of the seed's journal. begun:
    what stands there when the line starts. finished: gives what stands there when it has ended
    well, and is called then.
    """

    words: Words
    key: str
    begun: object
    finished: Callable[[], object]


@dataclass(frozen=True)
class RowPlan:
    """What one row of one seed still takes: nothing when it was done before."""

    name: str
    seed: int
    lines: tuple[Line, ...]
    journal: Journal


def plan(study: Study, run: Run, seeds: Sequence[int], rows: Sequence[str]) -> list[RowPlan]:
    """Return what is to be done, in order; a folder that several rows share is trained with the
    first.

    Raises RecipeError for a folder that was trained otherwise than the study says now.
    """
    return [row for seed in seeds for row in _SeedPlan(study, run, seed).row_plans(rows)]


class _SeedPlan:
    """Plans one seed. It remembers which folders will be trained by then."""

    def __init__(self, study: Study, run: Run, seed: int) -> None:
        self._study, self._run, self._seed = study, run, seed
        self._journal = journal(run, seed)
        self._notes = self._journal.notes()
        self._planned: set[str] = set()
        self._training = cache(self._describe)
        self._settings = cache(self._describe_row)

    def row_plans(self, rows: Sequence[str]) -> list[RowPlan]:
        folders = {self._study.rows[row].folder for row in rows if not self._is_done(row)}
        trained_anew = {
            folder for folder in folders if not self._is_trained(folder)
        }  # and lose their records
        done = {
            row
            for row in rows
            if self._is_done(row) and self._study.rows[row].folder not in trained_anew
        }
        return [
            RowPlan(row, self._seed, () if row in done else tuple(self._lines(row)), self._journal)
            for row in rows
        ]

    def _is_done(self, name: str) -> bool:
        """Whether a row's lines, as they are now, all ended well, and their record is still there."""
        self._check_same(self._study.rows[name].folder)
        noted, texts = self._noted(name), [_text(words) for words in self._row_words(name)]
        same = noted["lines"] == texts and _agree(noted, self._settings(name))
        return same and bool(row_records(self._study, self._run, self._seed, name))

    def _noted(self, name: str) -> Mapping[str, object]:
        """Return what the journal says of a row; one from before settings were kept has the lines
        alone.
        """
        noted = self._notes.get(f"row {name}")
        return {"lines": None, **noted} if isinstance(noted, dict) else {"lines": noted}

    def _describe_row(self, name: str) -> dict[str, object]:
        """Return all that makes a row's record what it is, once its folder is trained."""
        row = self._study.rows[name]
        recipe = self._study.changed_recipe(row.settings)
        found = {
            section: asdict(getattr(recipe, section))
            for section in ("exits", "inference", "search", "evaluation", "calibration")
        }
        if row.method == SECOND_STAGE:
            found["second_stage"] = asdict(self._study.changed_recipe(row.second_stage).training)
        return _as_json({**found, **_data(recipe)})

    def _is_trained(self, name: str) -> bool:
        noted = self._notes.get(f"folder {name}")
        return (
            isinstance(noted, dict)
            and bool(noted.get("finished"))
            and self._at(name).checkpoint.exists()
        )

    def _lines(self, name: str) -> list[Line]:
        """Return the training of a row's folder and the row's own lines, both without what is done."""
        row = self._study.rows[name]
        training = self._training_lines(row.folder)
        words = self._row_words(name)
        texts = [_text(each) for each in words]
        lines = [self._row_line(name, each, texts, done) for done, each in enumerate(words)]
        if (
            row.method == SECOND_STAGE and row.folder not in self._planned
        ):  # otherwise its training removes what there is
            lines = _after_second_stage(
                lines, self._at(row.folder), self._has_heads(name, texts[0])
            )
        return training + lines

    def _row_line(self, name: str, words: Words, texts: list[str], done: int) -> Line:
        row, settings = self._study.rows[name], self._settings(name)

        def finished() -> object:
            last = done + 1 == len(texts)
            evaluation = newest_evaluation(self._at(row.folder), name) if last else None
            return {"lines": texts[: done + 1], **settings, "evaluated": evaluation}

        return Line(words, f"row {name}", {"lines": texts[:done], **settings}, finished)

    def _has_heads(self, name: str, line: str) -> bool:
        """Whether the second stage ended well, as it is now."""
        noted, stage = self._noted(name), {"second_stage": self._settings(name)["second_stage"]}
        return (
            isinstance(noted["lines"], list)
            and noted["lines"][:1] == [line]
            and _agree(noted, stage)
        )

    def _training_lines(self, name: str) -> list[Line]:
        """Return the lines that train a folder, those of its start first."""
        self._check_same(name)
        if name in self._planned or self._is_trained(name):
            return []
        self._planned.add(name)
        start = self._study.folders[name].start
        words = training_words(
            self._study, self._at(name), self._seed, name, self._at(start) if start else None
        )
        line = Line(
            words,
            f"folder {name}",
            self._training(name),
            lambda: self._training(name) | {"finished": True},
        )
        return [*(self._training_lines(start) if start else []), line]

    def _row_words(self, name: str) -> list[Words]:
        return row_words(self._study, self._at(self._study.rows[name].folder), self._seed, name)

    def _check_same(self, name: str) -> None:
        """Raise RecipeError when a folder holds a training that is not the study's any more."""
        here, noted = self._at(name), self._notes.get(f"folder {name}")
        if not isinstance(noted, dict) or not any(
            path.exists() for path in (here.checkpoint, here.last_state, here.records)
        ):
            return
        before, now = (_flat({**each, "finished": None}) for each in (noted, self._training(name)))
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                found = f"`{here.folder}` was trained with {key} {show(before.get(key))}, now it is {show(now.get(key))}"
                raise RecipeError(
                    found, "remove that folder to train it anew, or name another with --run"
                )

    def _describe(self, name: str) -> dict[str, object]:
        """Return all that makes a training what it is, as JSON would give it back."""
        folder = self._study.folders[name]
        recipe = replace(self._study.changed_recipe(folder.settings), seed=self._seed)
        start = self._training(folder.start) if folder.start else None
        parts = {
            "method": folder.method,
            "start": start,
            "data": asdict(recipe.data),
            "model": asdict(recipe.model),
        }
        return _as_json({**parts, "training": asdict(recipe.training)})

    def _at(self, folder: str) -> Run:
        return trained_run(self._run, self._seed, folder)


def training_words(study: Study, here: Run, seed: int, name: str, start: Run | None) -> Words:
    """Return the command line that trains a folder: from the first step, or on from where it was
    stopped.
    """
    folder = study.folders[name]
    words = [
        "finetune",
        "--recipe",
        study.recipe,
        "--run",
        str(here.folder),
        "--seed",
        str(seed),
        "--method",
        folder.method,
    ]
    words += ["--weights", str(start.folder)] if start else []
    words += _sets([*as_overrides(folder.settings), *study.overrides])
    if here.last_state.exists():
        words.append("--resume")
    elif here.checkpoint.exists():  # it was killed between the first checkpoint and last.pt
        words.append("--force")
    return tuple(words)


def row_words(study: Study, here: Run, seed: int, name: str) -> list[Words]:
    """Return the command lines of a row, once its folder is trained."""
    row = study.rows[name]
    shared = ["--recipe", study.recipe, "--run", str(here.folder)]
    settings = _sets([*as_overrides(row.settings), *study.overrides])
    lines = []
    if row.method == SECOND_STAGE:
        second = _sets([*as_overrides(row.second_stage), *study.overrides])
        lines.append(["finetune", *shared, "--seed", str(seed), "--method", row.method, *second])
    if row.method in CALIBRATED:
        target = (
            []
            if row.target_reduction is None
            else ["--target-reduction", f"{row.target_reduction:g}"]
        )
        lines.append(["calibrate", *shared, "--method", row.method, *target, *settings])
    sweep = ["--sweep"] if row.sweep and row.method not in WITHOUT_CURVE else []
    of_row = ["--method", row.method, "--row", name, "--split", SPLIT]
    lines.append(["evaluate", *shared, *of_row, *sweep, *settings])
    return [tuple(line) for line in lines]


def _sets(settings: Sequence[str]) -> list[str]:
    return list(chain.from_iterable(("--set", setting) for setting in settings))


def _after_second_stage(lines: list[Line], here: Run, noted: bool) -> list[Line]:
    """Return the lines without the second stage when it was finished beside this very backbone; one
    that was cut short is run anew.
    """
    own = here.folder / f"{SECOND_STAGE}.safetensors"
    if not own.exists():
        return lines
    if noted and own.stat().st_mtime_ns >= here.checkpoint.stat().st_mtime_ns:
        return lines[1:]
    return [replace(lines[0], words=(*lines[0].words, "--force")), *lines[1:]]


def _agree(noted: Mapping[str, object], now: Mapping[str, object]) -> bool:
    """Whether two sets of settings are the same where both say something."""
    return all(noted[key] == now[key] for key in noted.keys() & now.keys())


def _data(recipe: Recipe) -> dict[str, object]:
    """Return what tells prepared data from other data, nothing before it was prepared: the manifest
    but for dates and versions.
    """
    try:
        manifest = replace(read_manifest(recipe.data.folder), prepared="", versions={})
    except MissingStepError:
        return {}
    return {"data": sha256(json.dumps(asdict(manifest), sort_keys=True).encode()).hexdigest()}


def _as_json(values: Mapping[str, object]) -> dict[str, object]:
    """Return values as a journal would give them back."""
    found: dict[str, object] = json.loads(json.dumps(values))
    return found


def _text(words: Words) -> str:
    """Return a line but for its folder: a study that was moved is still the same."""
    place = words.index("--run")
    return shlex.join((*words[:place], *words[place + 2 :]))


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return found
