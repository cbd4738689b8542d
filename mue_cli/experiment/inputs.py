"""The inputs of an experiment's measurements: prepared data, how samples are made, weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from mue_cli.data.disk import fingerprint
from mue_cli.errors import MissingStepError
from mue_cli.reports.inputs import WEIGHTS

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment


def data_fingerprint(experiment: "Experiment") -> str:
    """A short name of the prepared data's content."""
    text = json.dumps(experiment.data.manifest.checksums, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def samples_of(experiment: "Experiment") -> dict[str, str | int]:
    """Return how a sample is made, by the recipe's names."""
    data = experiment.recipe.data
    return {
        "image_size": data.image_size,
        "prompt": data.prompt,
        "max_source_tokens": data.max_source_tokens,
    }


def inputs_of(experiment: "Experiment") -> dict[str, str | int]:
    """Return all inputs (`reports.inputs.INPUTS`) of what is measured here."""
    data = data_fingerprint(experiment)
    return {"data": data, **samples_of(experiment), WEIGHTS: _weights(experiment)}


def about_of(experiment: "Experiment", split: str) -> dict[str, str]:
    """Return what a kept measurement depends on: in words, for figures, and by its inputs.

    Data that were not prepared and weights that are not there are left out.
    """
    recipe = experiment.recipe
    search = json.dumps(asdict(recipe.search)) if experiment.task.generates else ""
    about = {
        "recipe": recipe.name,
        **_data(experiment),
        "split": split,
        "settings": _in_words(experiment),
        **{name: str(value) for name, value in samples_of(experiment).items()},
        "search": search,
        "precision": experiment.precision,
        "weights": experiment.run.weights or "",
    }
    try:
        return about | {WEIGHTS: _weights(experiment)}
    except MissingStepError:
        return about


def is_kept_of(kept: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Return whether what was kept is what would be measured now, under whatever recipe's name.

    A file from before states too little and is measured anew; where nothing can be measured, what
    it states must agree.
    """
    measurable = "data" in now and WEIGHTS in now
    names = [name for name in now if name != "recipe" and (measurable or name in kept)]
    return all(kept.get(name) == now[name] for name in names)


def _data(experiment: "Experiment") -> dict[str, str]:
    try:
        name = experiment.data.manifest.name
    except MissingStepError:
        return {}
    return {"dataset": name, "data": data_fingerprint(experiment)}


def _weights(experiment: "Experiment") -> str:
    path = experiment.weights.weights
    return fingerprint(path) if path.is_file() else ""


def _in_words(experiment: "Experiment") -> str:
    search, precision = experiment.recipe.search, experiment.precision
    parts = [experiment.run.weights] if experiment.run.weights else []
    parts += [] if experiment.recipe.model.decompose else ["joint encoder"]
    if experiment.task.generates:
        usual = asdict(type(search)())
        parts += [
            f"{name} {value:g}"
            for name, value in asdict(search).items()
            if name == "beam" or value != usual[name]
        ]
    return ", ".join([*parts, precision])
