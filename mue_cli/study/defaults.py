"""What a study file leaves out: `defaults:` for all folders and rows, and a row's own folder."""

from collections.abc import Mapping
from typing import Any

_KINDS = ("folders", "rows")
_SETTINGS = ("settings", "second_stage")


def with_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's mapping with every folder and row written out.

    defaults.folders and defaults.rows hold values of each; their `settings` are joined key by key,
    and what a folder or row says itself wins. A row without `folder` is evaluated in the folder of
    its own name, one without `method` is evaluated by the method of its folder. What is no mapping
    stays for the reader to refuse.
    """
    defaults = raw.get("defaults") or {}
    if not isinstance(defaults, Mapping) or set(defaults) - set(_KINDS):
        return dict(raw)
    study = {key: value for key, value in raw.items() if key != "defaults"}
    for kind in _KINDS:
        if isinstance(study.get(kind), Mapping):
            shared = defaults.get(kind) or {}
            study[kind] = {name: _joined(shared, own) for name, own in study[kind].items()}
    if all(isinstance(study.get(kind), Mapping) for kind in _KINDS):
        study["rows"] = {
            name: _with_place(name, row, study["folders"]) for name, row in study["rows"].items()
        }
    return study


def _joined(shared: Any, own: Any) -> Any:
    own = {} if own is None else own
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return own
    settings = {
        key: {**(shared.get(key) or {}), **(own.get(key) or {})}
        for key in _SETTINGS
        if isinstance(shared.get(key), Mapping) and isinstance(own.get(key) or {}, Mapping)
    }
    return {**shared, **own, **settings}


def _with_place(name: str, row: Any, folders: Mapping[str, Any]) -> Any:
    if not isinstance(row, Mapping):
        return row
    placed = {"folder": name, **row}
    folder = folders.get(placed["folder"]) if isinstance(placed["folder"], str) else None
    method = folder.get("method", "full") if isinstance(folder, Mapping) else "full"
    return {"method": method, **placed}
