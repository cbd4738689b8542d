"""What a study must not say, found before anything is trained. place: where it was written, for
messages.
"""

import re
from collections.abc import Mapping
from itertools import chain, combinations

from mue_cli.errors import RecipeError
from mue_cli.exits.catalogue import STATIC, names
from mue_cli.recipe.recipe import Recipe
from mue_cli.schema.schema import did_you_mean, show
from mue_cli.study.parts import FULL, Row, Settings, Study

FOLDER, ROW, SECOND = ("training", "model"), ("exits", "calibration"), ("training",)
"""Sections that a folder, a row and its second stage may change: rows are compared with each other,
on the same samples with the same search.
"""
CONTROLS = ("evaluation.shuffled_pictures",)
"""Settings that a row may have besides: they add to its record and change nothing in it."""
STREAMS = ("image", "text", "joint", "decoder")


def check(study: Study, place: str) -> None:
    """Refuse what is right alone and wrong together. Raises RecipeError."""
    _check_names(study, place)
    for name in study.folders:
        _check_start(study, name, place)
    for name in study.rows:
        _check_row(study, name, place)
    _check_heads(study, place)
    for name, folder in study.folders.items():
        _check_settings(study, folder.settings, FOLDER, f"`folders.{name}.settings` of {place}")
    for name, row in study.rows.items():
        _check_settings(study, row.settings, ROW, f"`rows.{name}.settings` of {place}", CONTROLS)
        _check_settings(study, row.second_stage, SECOND, f"`rows.{name}.second_stage` of {place}")
    for name in study.rows:
        _check_commands(study, name, f"`rows.{name}` of {place}")


def _check_names(study: Study, place: str) -> None:
    for name in chain([study.name], study.folders, study.rows):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise RecipeError(
                f"the name {show(name)} in {place} is not made of letters, digits, dots and dashes",
                "it may name a folder",
            )
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise RecipeError(
            f"`seeds` in {place} is {list(study.seeds)}, expected different whole numbers",
            "for example [0, 1, 2]",
        )
    if any(override.partition("=")[0].strip() == "seed" for override in study.overrides):
        raise RecipeError(
            "`seed` is set, but a study trains folders for each of its seeds",
            "name them with --seeds",
        )
    if FULL not in study.rows or study.rows[FULL].method != FULL:
        raise RecipeError(
            f"{place} has no row `{FULL}` of the method {FULL}",
            "scores and reductions are relative to it",
        )


def _check_start(study: Study, name: str, place: str) -> None:
    start = study.folders[name].start
    if start is None:
        return
    if start not in study.folders:
        raise RecipeError(
            f"unknown folder `{start}` in `folders.{name}.start` of {place}",
            did_you_mean(start, study.folders, "folders"),
        )
    circle = _ancestors(study, name)
    if name in circle:
        raise RecipeError(
            f"folders of {place} start in a circle: {' from '.join([name, *circle])}",
            "one must start from nothing",
        )
    order = list(study.folders)
    if order.index(start) > order.index(name):
        raise RecipeError(
            f"`{name}` of {place} starts from `{start}`, which comes after it",
            f"move `{start}` above `{name}`",
        )


def _ancestors(study: Study, name: str) -> list[str]:
    """Return what a folder starts from, and so on, until nothing or the first name that comes
    again.
    """
    chain: list[str] = []
    start = study.folders[name].start
    while start in study.folders and start not in chain:
        chain.append(start)
        start = study.folders[start].start
    return chain


def _check_row(study: Study, name: str, place: str) -> None:
    row = study.rows[name]
    if row.folder not in study.folders:
        hint = did_you_mean(row.folder, study.folders, "folders")
        raise RecipeError(f"unknown folder `{row.folder}` in `rows.{name}.folder` of {place}", hint)
    trained = study.folders[row.folder].method
    if row.spec.training == "model and head" and trained != row.method:
        raise RecipeError(
            f"`rows.{name}` of {place} evaluates {row.method} in `{row.folder}`, which is trained "
            f"with the method {trained}",
            f"its exit head is trained with the backbone: name a folder of the method {row.method}",
        )
    if not row.spec.is_calibrated and row.target_reduction is not None:
        raise RecipeError(
            f"`rows.{name}.target_reduction` of {place} is {row.target_reduction:g}, but "
            f"{row.method} is not calibrated",
            "leave it out",
        )
    if row.second_stage and not row.spec.is_trained_alone:
        alone = " or ".join(names(lambda spec: spec.is_trained_alone))
        raise RecipeError(
            f"`rows.{name}.second_stage` of {place} is for {alone}, not for {row.method}",
            "leave it out",
        )


def _check_heads(study: Study, place: str) -> None:
    """Refuse rows whose second stages would overwrite each other's heads."""
    for (one, first), (other, second) in combinations(study.rows.items(), 2):
        same = (first.folder, first.method) == (second.folder, second.method)
        if same and first.second_stage != second.second_stage:
            raise RecipeError(
                f"the rows `{one}` and `{other}` of {place} train other {first.method} heads in "
                f"`{first.folder}`, which has room for one",
                "give one of them a folder of its own",
            )


def _check_commands(study: Study, name: str, place: str) -> None:
    """Refuse what `mue calibrate` and `mue evaluate` would."""
    row = study.rows[name]
    recipe = study.changed_recipe(row.settings)
    if row.spec.is_calibrated:
        _check_calibration(row, recipe, place)
    if row.spec.threshold == "layer":
        _check_static(
            recipe, study.changed_recipe(study.folders[row.folder].settings).model.decompose, place
        )


def _check_calibration(row: Row, recipe: Recipe, place: str) -> None:
    target = (
        recipe.calibration.target_reduction
        if row.target_reduction is None
        else row.target_reduction
    )
    if not 0.0 < target < 1.0:
        raise RecipeError(
            f"{place} has the target reduction {target:g}, expected a fraction above 0 and below 1",
            "0.4 stands for 40 %",
        )
    fixed = [f"`exits.{stream}`" for stream in STREAMS if getattr(recipe.exits, stream) is not None]
    if fixed:
        raise RecipeError(
            f"{place} is calibrated, but {', '.join(fixed)} is fixed",
            "leave it out, or null, to calibrate it",
        )


def _check_static(recipe: Recipe, decompose: bool, place: str) -> None:
    wanted = STATIC.streams(decompose)
    layers = [getattr(recipe.exits, stream) for stream in wanted]
    if any(layer is None or layer < 1 or layer % 1 for layer in layers):
        example = ", ".join(f"exits.{stream}: 3" for stream in wanted)
        raise RecipeError(
            f"{place} needs an exit layer for each of {', '.join(wanted)}",
            f"for example settings: {{{example}}}",
        )


def _check_settings(
    study: Study,
    settings: Settings,
    sections: tuple[str, ...],
    place: str,
    besides: tuple[str, ...] = (),
) -> None:
    for key, value in settings.items():
        if key.partition(".")[0] not in sections and key not in besides:
            message = f"{place} has `{key}`, expected settings of {' or '.join(sections)}"
            raise RecipeError(message, "what all rows share is said with --set or `overrides`")
        if isinstance(value, Mapping) or "." not in key:
            raise RecipeError(
                f"{place}: `{key}` is no single value", f"write each as {sections[0]}.key: value"
            )
    study.changed_recipe(settings, place)
