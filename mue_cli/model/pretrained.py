"""What `--weights` may name: a file of weights, a folder that holds one, or a model on the Hugging
Face hub. The only door to the hub.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from mue_cli.errors import CheckpointError, MueError
from mue_cli.model import vocabulary
from mue_cli.model.checkpoint import SETTINGS_FILE

WEIGHTS = ("checkpoint.safetensors", "model.safetensors", "pytorch_model.bin")
"""Files that are weights by their name alone; ours, then Hugging Face's."""
OTHER_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
_BESIDE = (SETTINGS_FILE, vocabulary.OWN, *vocabulary.HF, *vocabulary.FAIRSEQ)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True)
class Pretrained:
    """weights: the file. folder: where settings and vocabulary lie beside it."""

    weights: Path

    @property
    def folder(self) -> Path:
        return self.weights.parent


def find_pretrained(name: str) -> Pretrained:
    """Return the weights that a path or a hub id (`OFA-Sys/ofa-base`, with `@revision` where
    wanted) means; fetch those on the hub.

    A path that exists wins over a hub id. Raises CheckpointError when there are none or several,
    MueError when the hub cannot be reached.
    """
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - pathlib's own fails for a user that does not exist
    try:
        if path.is_file():
            return Pretrained(path)
        if name and path.is_dir():
            return Pretrained(_weights_in(path))
    except OSError as error:
        raise CheckpointError(f"cannot read {name}: {error.strerror}") from None
    if _HUB_ID.fullmatch(name):
        return Pretrained(_weights_in(_fetch(name)))
    raise CheckpointError(
        f"no weights at `{name}`",
        "name a file, a folder, or a model on the Hugging Face hub such as OFA-Sys/ofa-base",
    )


def _weights_in(folder: Path) -> Path:
    named = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if named is not None:
        return named
    others = sorted(path for path in folder.iterdir() if path.suffix in OTHER_SUFFIXES)
    if len(others) == 1:
        return others[0]
    if not others:
        raise CheckpointError(
            f"no weights in {folder}",
            f"looked for {', '.join(WEIGHTS)} and files ending in {', '.join(OTHER_SUFFIXES)}",
        )
    raise CheckpointError(
        f"{folder} holds several files of weights: {', '.join(path.name for path in others)}",
        "name one of them",
    )


def _fetch(name: str) -> Path:
    """Return the local folder of a hub model, downloading what is missing; a download that broke
    off goes on.
    """
    repository, _, revision = name.partition("@")
    try:
        files = set(huggingface_hub.list_repo_files(repository, revision=revision or None))
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        hint = "check the spelling; a private model needs `hf auth login`"
        raise CheckpointError(
            f"{name} is neither a path nor a model on the Hugging Face hub", hint
        ) from None
    except (
        Exception
    ) as error:  # which errors a lost connection raises depends on the hub library's version
        return _fetched_before(repository, revision or None, error)
    weights = next((candidate for candidate in WEIGHTS if candidate in files), None)
    chosen = (
        [weights]
        if weights
        else [file for file in files if file.endswith(OTHER_SUFFIXES) and "/" not in file]
    )
    if len(chosen) != 1:
        raise CheckpointError(
            f"{name} on the hub holds {len(chosen)} files of weights, expected one",
            "download the one you want and name it",
        )
    try:
        wanted = [*chosen, *(file for file in _BESIDE if file in files)]
        return Path(
            huggingface_hub.snapshot_download(
                repository, allow_patterns=wanted, revision=revision or None
            )
        )
    except Exception as error:  # as above
        raise MueError(
            f"cannot download {name}: {_first_line(error)}",
            "run it again: it goes on where it stopped",
        ) from None


def _fetched_before(repository: str, revision: str | None, error: Exception) -> Path:
    """Return the folder of an earlier download, which needs no network."""
    cached = (
        huggingface_hub.try_to_load_from_cache(repository, name, revision=revision)
        for name in WEIGHTS
    )
    weights = next((path for path in cached if isinstance(path, str)), None)
    if weights is not None:
        return Path(weights).parent
    try:
        patterns = [*_BESIDE, *(f"*{suffix}" for suffix in OTHER_SUFFIXES)]
        return Path(
            huggingface_hub.snapshot_download(
                repository, local_files_only=True, revision=revision, allow_patterns=patterns
            )
        )
    except Exception:  # as above
        hint = "check the network, or download its files by other means and name their folder"
        raise MueError(
            f"cannot reach the Hugging Face hub for {repository}: {_first_line(error)}", hint
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
