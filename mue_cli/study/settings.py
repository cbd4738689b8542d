"""All that makes a training of a study, and a row's record, what it is: as journals note it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256

from mue_cli.data.store.manifest import read_manifest
from mue_cli.errors import MissingStepError
from mue_cli.recipe.recipe import Recipe
from mue_cli.study.parts import Study

_ROW_SECTIONS = ("exits", "inference", "search", "evaluation", "calibration")


def training_of(study: Study, name: str) -> dict[str, object]:
    """Return all that makes a folder's training what it is, but for its seed."""
    folder = study.folders[name]
    recipe = study.changed_recipe(folder.settings)
    return as_json(
        {
            "method": folder.method,
            "start": training_of(study, folder.start) if folder.start else None,
            **{name: asdict(getattr(recipe, name)) for name in ("data", "model", "training")},
        }
    )


def row_settings(study: Study, name: str) -> dict[str, object]:
    """Return all that makes a row's record what it is, once its folder is trained."""
    row = study.rows[name]
    recipe = study.changed_recipe(row.settings)
    about: dict[str, object] = {
        "method": row.method,
        "target_reduction": row.target_reduction,
        "sweep": row.sweep,
        **{section: asdict(getattr(recipe, section)) for section in _ROW_SECTIONS},
        "data": _data(recipe),
    }
    if row.spec.is_trained_alone:
        about["second_stage"] = second_stage(study, name)
    return as_json(about)


def second_stage(study: Study, name: str) -> object:
    """Return how the internal classifiers of a row are trained."""
    return asdict(study.changed_recipe(study.rows[name].second_stage).training)


def as_json(values: Mapping[str, object]) -> dict[str, object]:
    """Return values as a journal would give them back."""
    plain: dict[str, object] = json.loads(json.dumps(values))
    return plain


def _data(recipe: Recipe) -> str | None:
    """Return what tells prepared data from other data: the manifest but for dates, versions and
    what only repeats its checksums; None before it was prepared.
    """
    try:
        manifest = replace(read_manifest(recipe.data.folder), prepared="", versions={})
    except MissingStepError:
        return None
    values = asdict(manifest)
    del values["shard_fingerprints"]  # journals are older
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
